"""The scores of one tile, for queries i and keys j of any orientation that broadcasts.

A `rule` is (mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift): where the mask of this
head begins and its strides, the lengths, and how scores are made and masked.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
LOWEST = tl.constexpr(-3.4e38)
"""Near the least float32."""


@triton.jit
def tile(
    x, first, limit, stride, SIZE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, EDGE: tl.constexpr
):
    """(ROWS, WIDTH) from row `first`; 0 outside of (limit, SIZE). Without EDGE all rows are inside.

    Offsets have 64 bits up to the first row and 32 inside of the tile, the same in each: fewer registers.
    What needs no mask has none: it is a copy to shared memory that runs ahead of the products.
    """
    r = tl.arange(0, ROWS)
    c = tl.arange(0, WIDTH)
    at = x + tl.cast(first, tl.int64) * stride + (r[:, None] * stride + c[None, :])
    if EDGE:
        return tl.load(at, mask=(r < limit - first)[:, None] & (c < SIZE)[None, :], other=0.0)
    elif SIZE < WIDTH:
        return tl.load(at, mask=(c < SIZE)[None, :], other=0.0)
    else:
        return tl.load(at)


@triton.jit
def numbers(x, at, limit):
    """x[at]; 0 from `limit` on."""
    return tl.load(x + at, mask=at < limit, other=0.0)


@triton.jit
def tanh(x):
    """Its series near 0, where 1 − 2/(e^2x + 1) would cancel."""
    z = x * x
    small = x + x * z * (-1 / 3 + z * (2 / 15 + z * (-17 / 315 + z * (62 / 2835))))
    return tl.where(tl.abs(x) < 0.25, small, 1 - 2 / (tl.exp(2 * x) + 1))


@triton.jit
def scores(qk, i, j, rule, KIND: tl.constexpr, EDGE: tl.constexpr, ENDS: tl.constexpr):
    """The scores u, −∞ where masked, and tanh of the soft cap (anything without one).

    Where the kind is FOLDED they are qk itself, and else scores times log₂e: `powers` takes either. At an EDGE the
    band masks, and with ENDS the end of the keys; queries past the last are read as 0 and not stored.
    """
    mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift = rule
    u, t = qk, qk
    if KIND.CAP:
        t = tanh(qk * (scale / cap))
        u = t * (cap * LOG2_E)
    elif not KIND.FOLDED:
        u = qk * (scale * LOG2_E)
    if KIND.ALIBI:
        u -= slope * LOG2_E * tl.abs(j - (i + shift)).to(tl.float32)
    if KIND.MASK > 0:
        inside = (i < queries) & (j < keys)
        at = mask + i.to(tl.int64) * mask_i + j.to(tl.int64) * mask_j
        if KIND.MASK == 1:
            u = tl.where(tl.load(at, mask=inside, other=0) != 0, u, -float("inf"))
        else:
            added = tl.load(at, mask=inside, other=-float("inf")).to(tl.float32)
            more = added * LOG2_E
            # The least float32, as some write into masks, is no −∞ yet.
            more = tl.where((more < LOWEST) & (added > -float("inf")), LOWEST, more)
            u = tl.where(more == -float("inf"), more, u + more)
    if EDGE:
        if ENDS:
            u = tl.where(j < keys, u, -float("inf"))
        if KIND.LOW:
            u = tl.where(j - low >= i, u, -float("inf"))
        if KIND.HIGH:
            u = tl.where(j - high <= i, u, -float("inf"))
    return u, t


@triton.jit
def powers(u, m, scale, KIND: tl.constexpr):
    """e^(score − m·ln 2) for scores u as `scores` gives them."""
    if KIND.FOLDED:
        u = u * (scale * LOG2_E)
    return tl.exp2(u - m)


@triton.jit
def finite(x):
    return tl.where(tl.abs(x) < float("inf"), x, 0.0)


@triton.jit
def without_masked(p, u, x):
    """p and x for p·x, where a row of x that is not finite makes NaN of those rows of p alone that attend to it.

    By itself it would make NaN of all, for 0·NaN is NaN.
    """
    bad = tl.max((~(tl.abs(x) < float("inf"))).to(tl.int32), 1) > 0
    return tl.where((u != -float("inf")) & bad[None, :], float("nan"), p), finite(x)
