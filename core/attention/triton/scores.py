"""The scores of one tile, for queries i and keys j of any orientation that broadcasts."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile(x, first, limit, stride, SIZE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """(ROWS, WIDTH) from row `first`; 0 outside of (limit, SIZE). The row is a 64-bit offset."""
    r = first + tl.arange(0, ROWS)
    c = tl.arange(0, WIDTH)
    at = x + r.to(tl.int64)[:, None] * stride + c[None, :]
    return tl.load(at, mask=(r < limit)[:, None] & (c < SIZE)[None, :], other=0.0)


@triton.jit
def tanh(x):
    """Its series near 0, where 1 − 2/(e^2x + 1) would cancel."""
    z = x * x
    small = x + x * z * (-1 / 3 + z * (2 / 15 + z * (-17 / 315 + z * (62 / 2835))))
    return tl.where(tl.abs(x) < 0.25, small, 1 - 2 / (tl.exp(2 * x) + 1))


@triton.jit
def scores(
    qk, i, j, mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift,
    MASK: tl.constexpr, CAP: tl.constexpr, ALIBI: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr,
    EDGE: tl.constexpr,
):  # fmt: skip
    """The scores, −∞ where hidden, and tanh of the soft cap (anything without one)."""
    u = qk * scale
    t = u
    if CAP:
        t = tanh(u / cap)
        u = t * cap
    if ALIBI:
        u -= slope * tl.abs(j - (i + shift)).to(tl.float32)
    inside = (i < queries) & (j < keys)
    if MASK > 0:
        at = mask + i.to(tl.int64) * mask_i + j.to(tl.int64) * mask_j
        if MASK == 1:
            u = tl.where(tl.load(at, mask=inside, other=0) != 0, u, -float("inf"))
        else:
            added = tl.load(at, mask=inside, other=-float("inf")).to(tl.float32)
            u = tl.where(added == -float("inf"), added, u + added)
    if EDGE:
        if LOW:
            inside = inside & (j >= i + low)
        if HIGH:
            inside = inside & (j <= i + high)
        u = tl.where(inside, u, -float("inf"))
    return u, t


@triton.jit
def kept(rows, columns, least):
    """What dropout keeps: the choices of `dropout.Choices`."""
    bits = (rows ^ columns).to(tl.uint32, bitcast=True) * 0x2C1B3C6D
    bits = (bits ^ (bits >> 15)) * 0x297A2D39
    return bits.to(tl.int32, bitcast=True) >= least


@triton.jit
def finite(x):
    return tl.where(tl.abs(x) < float("inf"), x, 0.0)


@triton.jit
def add_product(acc, p, x, seen, HIDES: tl.constexpr):
    """acc + p·x. Where pairs may be hidden, what is not finite in x makes NaN of the rows that see it, and of no others."""
    if HIDES:
        bad = ~(tl.abs(x) < float("inf"))
        acc = tl.dot(p.to(x.dtype), tl.where(bad, 0.0, x), acc, input_precision="ieee")
        if tl.max(tl.max(bad.to(tl.int32), 1), 0) > 0:
            hits = tl.dot(seen.to(x.dtype), bad.to(x.dtype), input_precision="ieee")
            acc = tl.where(hits > 0, float("nan"), acc)
    else:
        acc = tl.dot(p.to(x.dtype), x, acc, input_precision="ieee")
    return acc
