"""Products that ignore masked pairs, even where a masked number is NaN or infinite.

0 times NaN or infinity is NaN, so a plain product over keys carries it into rows that may not attend to it; so does a
finite number whose product with the gradient is infinite. The plain products do not test for this. Where a result is not
finite and something is masked, it is computed again, number by number, by the functions here. A pair is masked if its
score is −∞, not if P = 0: a NaN whose probability is too small for float32 is not masked, and stays.
"""

from __future__ import annotations

from numba import float32, int32

from ...compiled.kernel import inlined
from ...compiled.vectors import bits_of_float, load_float, store_float
from .arguments import QUERIES
from .softmax import MASKED

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
def zero_masked(X, S, width):  # type: ignore[no-untyped-def]
    """0 where the score is masked."""
    for n in range(width * QUERIES):
        X[n] = ZERO if S[n] == MASKED else X[n]


@inlined
def add_over_keys(C, address, row, P, S, d, width):  # type: ignore[no-untyped-def]
    """C (d, QUERIES) += Xᵀ·P of the rows X of a tensor, without the masked pairs."""
    for j in range(width):
        for c in range(d):
            x = load_float(address, j * row + c)
            for i in range(QUERIES):
                n = j * QUERIES + i
                C[c * QUERIES + i] += ZERO if S[n] == MASKED else P[n] * x


@inlined
def add_over_queries(address, P, S, X, d, width, count):  # type: ignore[no-untyped-def]
    """The rows of a tensor, d apart, += P·X for X (QUERIES, d), an address, without the masked pairs."""
    for j in range(width):
        for i in range(count):
            n = j * QUERIES + i
            if S[n] != MASKED:
                for c in range(d):
                    at = j * d + c
                    x = load_float(X, i * d + c)
                    store_float(address, at, load_float(address, at) + P[n] * x)
