"""What happens to a tile of scores between the products.

A tile is transposed, Sᵀ (keys, QUERIES): each lane of a vector is a query, so that a row's maximum and sum are taken lane by
lane and never across a vector, and the tile is what the next product multiplies with, without being turned.
Scores are times log₂e, so that e^s is 2^S.

A function that reads one tile and writes another is never given the same memory for both: compilers turn its loop to
vectors on condition that the two do not overlap, and else go number by number.
"""

from __future__ import annotations

from numba import float32, int32

from ...compiled.exponential import exp2, tanh
from ...compiled.kernel import inlined
from ...compiled.vectors import load_int
from .arguments import QUERIES
from .instructions import bits_of_pair

MASKED = float32(float("-inf"))
LOWEST = float32(-3.4028234663852886e38)
LOG2_E, LN_2 = float32(1.4426950408889634), float32(0.6931471805599453)
ZERO, ONE = float32(0.0), float32(1.0)


@inlined
def mask_by_band(S, j0, width, diagonal, left, right):  # type: ignore[no-untyped-def]
    """−∞ where key j0 + j is outside the band of lane i, which stands beside key `diagonal` + i."""
    for j in range(width):
        first, last = j0 + j - right - diagonal, j0 + j + left - diagonal  # the lanes whose band has the key
        if first > 0 or last < QUERIES - 1:
            for i in range(QUERIES):
                if i < first or i > last:
                    S[j * QUERIES + i] = MASKED


@inlined
def new_maximum(S, width, m, m_new):  # type: ignore[no-untyped-def]
    """m_new = max(m, the tile's), never −∞: (−∞) − (−∞) would be NaN before a row's first key."""
    for i in range(QUERIES):
        m_new[i] = m[i] if m[i] > LOWEST else LOWEST
    for j in range(width):
        for i in range(QUERIES):
            s = S[j * QUERIES + i]
            m_new[i] = s if s > m_new[i] else m_new[i]


@inlined
def exponentials(S, width, m, sums):  # type: ignore[no-untyped-def]
    """S becomes P = 2^(S − m); `sums` its sums over the tile's keys."""
    for i in range(QUERIES):
        sums[i] = float32(0.0)
    for j in range(width):
        for i in range(QUERIES):
            p = exp2(S[j * QUERIES + i] - m[i])
            S[j * QUERIES + i] = p
            sums[i] += p


@inlined
def probabilities(S, width, L):  # type: ignore[no-untyped-def]
    """S becomes P = 2^(S − L), already divided by its sum."""
    for j in range(width):
        for i in range(QUERIES):
            S[j * QUERIES + i] = exp2(S[j * QUERIES + i] - L[i])


@inlined
def score_gradients(dP, P, width, D):  # type: ignore[no-untyped-def]
    """dP becomes dS = P ∘ (dP − D)."""
    for j in range(width):
        for i in range(QUERIES):
            dP[j * QUERIES + i] = P[j * QUERIES + i] * (dP[j * QUERIES + i] - D[i])


@inlined
def cap(S, width, softcap):  # type: ignore[no-untyped-def]
    """S, in units of the cap, becomes c·tanh(S), times log₂e."""
    unit = float32(softcap * LOG2_E)
    for n in range(width * QUERIES):
        S[n] = unit * tanh(S[n])


@inlined
def cap_and_keep(S, T, width, softcap):  # type: ignore[no-untyped-def]
    """As `cap`, and T, other memory, becomes the tanh itself."""
    unit = float32(softcap * LOG2_E)
    for n in range(width * QUERIES):
        T[n] = tanh(S[n])
    for n in range(width * QUERIES):
        S[n] = unit * T[n]


@inlined
def through_cap(dS, T, width):  # type: ignore[no-untyped-def]
    """dS becomes that of the scores before their cap, dS ∘ (1 − t²)."""
    for j in range(width):
        for i in range(QUERIES):
            t = T[j * QUERIES + i]
            dS[j * QUERIES + i] *= ONE - t * t


@inlined
def subtract_alibi(S, j0, width, diagonal, slope):  # type: ignore[no-untyped-def]
    """Slope times the distance of key j0 + j from the key beside lane i, `diagonal` + i."""
    unit = float32(slope * LOG2_E)
    for j in range(width):
        first = int32(j0 + j - diagonal)
        for i in range(QUERIES):
            far = float32(abs(first - int32(i)))
            S[j * QUERIES + i] -= unit * far


@inlined
def drop(P, width, rows, columns, threshold, times):  # type: ignore[no-untyped-def]
    """P becomes P ∘ Z: what dropout keeps, times a number.

    Args:
        rows: int32 (QUERIES,).
        columns: address of the bits of the tile's first key.
    """
    threshold, times = int32(threshold), float32(times)
    for j in range(width):
        column = load_int(columns, j)
        for i in range(QUERIES):
            kept = bits_of_pair(rows[i], column) >= threshold
            P[j * QUERIES + i] *= times if kept else ZERO
