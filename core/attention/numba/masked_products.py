"""NaN and infinity behind a mask: 0 times them is NaN, so a product over keys would carry them to rows that see them not.
So would a finite number whose product with the gradient is infinite.

Products are not asked to look: what they give is looked at, and where it is not finite and something is hidden, it is
computed once more, number by number, by the functions here. What is hidden has a score of −∞, and that decides, not
P = 0: a NaN whose probability is too small for float32 is seen, and stays.
"""

from __future__ import annotations

from numba import float32, int32

from .compiling import inlined
from .shapes import QUERIES
from .softmax import HIDDEN
from .vectors import bits_of_float, load_float, store_float

EXPONENT = int32(0x7F800000)
"""The bits of the exponent, which are all ones in NaN and infinity alone."""
ZERO = float32(0.0)


@inlined
def all_finite(X, size):  # type: ignore[no-untyped-def]
    """Whether there is no NaN and no infinity among the first numbers."""
    worst = int32(0)
    for n in range(size):
        worst = max(worst, int32(bits_of_float(X[n]) & EXPONENT))
    return worst != EXPONENT


@inlined
def clear_hidden(X, S, width):  # type: ignore[no-untyped-def]
    """0 where the score is that of something hidden."""
    for n in range(width * QUERIES):
        X[n] = ZERO if S[n] == HIDDEN else X[n]


@inlined
def add_over_seen_keys(C, address, row, P, S, d, width):  # type: ignore[no-untyped-def]
    """C (d, QUERIES) += Xᵀ·P of the rows X of a tensor, without the pairs that are hidden."""
    for j in range(width):
        for c in range(d):
            x = load_float(address, j * row + c)
            for i in range(QUERIES):
                n = j * QUERIES + i
                C[c * QUERIES + i] += ZERO if S[n] == HIDDEN else P[n] * x


@inlined
def add_over_seeing_queries(address, P, S, X, d, width, count):  # type: ignore[no-untyped-def]
    """The rows of a tensor, d apart, += P·X for X (QUERIES, d), without the pairs that are hidden."""
    for j in range(width):
        for i in range(count):
            n = j * QUERIES + i
            if S[n] != HIDDEN:
                for c in range(d):
                    at = j * d + c
                    store_float(address, at, load_float(address, at) + P[n] * X[i * d + c])
