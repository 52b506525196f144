"""What happens to a tile of scores between the products.

A tile is transposed, Sᵀ (keys, QUERIES): each lane of a vector is a query, so that a row's maximum and sum are taken lane by
lane and never across a vector, and the tile is what the next product multiplies with, without being turned.
Scores are times log₂e, so that e^s is 2^S.
"""

from __future__ import annotations

from numba import float32

from .compiling import inlined
from .exponential import exp2
from .shapes import QUERIES
from .vectors import load_byte, load_float

HIDDEN = float32(float("-inf"))
LOWEST = float32(-3.4028234663852886e38)
LOG2_E = float32(1.4426950408889634)


@inlined
def hide_by_place(S, j0, width, place, left, right):  # type: ignore[no-untyped-def]
    """−∞ where lane i, which stands at key `place` + i, does not see key j0 + j."""
    for j in range(width):
        first, last = j0 + j - right - place, j0 + j + left - place  # the lanes that see the key
        if first > 0 or last < QUERIES - 1:
            for i in range(QUERIES):
                if i < first or i > last:
                    S[j * QUERIES + i] = HIDDEN


@inlined
def hide_by_mask(S, j0, width, i0, count, mask, b, h):  # type: ignore[no-untyped-def]
    """Hide, or add to, the scores of queries i0 … i0 + count − 1 as the mask of head h says."""
    head = b * mask.batch + h * mask.head
    for i in range(count):
        row = head + (i0 + i) * mask.query + j0 * mask.key
        for j in range(width):
            if mask.kind == 1:
                if load_byte(mask.address, row + j * mask.key) == 0:
                    S[j * QUERIES + i] = HIDDEN
            else:
                S[j * QUERIES + i] += LOG2_E * load_float(mask.address, row + j * mask.key)


@inlined
def new_maximum(S, width, m, m_new):  # type: ignore[no-untyped-def]
    """m_new = max(m, the tile's), never −∞: (−∞) − (−∞) would be NaN where nothing was seen yet."""
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
