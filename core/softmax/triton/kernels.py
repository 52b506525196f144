"""Softmax in Triton: one program for each row, safe, online and in two passes. Imported on demand.

    x, y       pointers to the logits and to the result
    columns    V, the length of a row
    stride     elements from one row to the next, of x and of y
    BLOCK      elements that a program looks at together, a power of 2; `lanes` of it run side by side
    WORK       what is computed in: float32, or float64 for float64

A row that fits one block is read once, whatever the form. A lane beyond the row reads −∞, which adds nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl

LIMIT = tl.constexpr(11_000.0)  # of two_pass, see softmax/two_pass.py
LOG2_E = tl.constexpr(1.4426950408889634)
LN2_HIGH = tl.constexpr(0.693359375)
LN2_LOW = tl.constexpr(-0.00021219444005469057)
NO_EXPONENT = tl.constexpr(-22_000.0)


@triton.jit
def lanes_of(x, start, columns, BLOCK: tl.constexpr, WORK: tl.constexpr):
    at = start + tl.arange(0, BLOCK)
    return tl.load(x + at, mask=at < columns, other=-float("inf")).to(WORK)


@triton.jit
def store(y, start, columns, value, BLOCK: tl.constexpr):
    at = start + tl.arange(0, BLOCK)
    tl.store(y + at, value.to(y.dtype.element_ty), mask=at < columns)


@triton.jit
def in_one_block(x, y, columns, BLOCK: tl.constexpr, WORK: tl.constexpr):
    v = lanes_of(x, 0, columns, BLOCK, WORK)
    e = tl.exp(v - tl.max(v, 0))
    store(y, 0, columns, e / tl.sum(e, 0), BLOCK)


@triton.jit
def in_three_passes(x, y, columns, BLOCK: tl.constexpr, WORK: tl.constexpr):
    m = tl.full((BLOCK,), -float("inf"), WORK)
    for start in range(0, columns, BLOCK):
        m = tl.maximum(m, lanes_of(x, start, columns, BLOCK, WORK))
    largest = tl.max(m, 0)
    d = tl.zeros((BLOCK,), WORK)
    for start in range(0, columns, BLOCK):
        d += tl.exp(lanes_of(x, start, columns, BLOCK, WORK) - largest)
    total = tl.sum(d, 0)
    for start in range(0, columns, BLOCK):
        v = lanes_of(x, start, columns, BLOCK, WORK)
        store(y, start, columns, tl.exp(v - largest) / total, BLOCK)


@triton.jit
def safe(x, y, columns, x_stride, y_stride, BLOCK: tl.constexpr, FITS: tl.constexpr, WORK: tl.constexpr):
    """Algorithm 2 of Milakov & Gimelshein."""
    row = tl.program_id(0).to(tl.int64)
    if FITS:
        in_one_block(x + row * x_stride, y + row * y_stride, columns, BLOCK, WORK)
    else:
        in_three_passes(x + row * x_stride, y + row * y_stride, columns, BLOCK, WORK)


@triton.jit
def online(x, y, columns, x_stride, y_stride, BLOCK: tl.constexpr, FITS: tl.constexpr, WORK: tl.constexpr):
    """Algorithm 3: each lane keeps a pair (m, d), and the pairs are merged by ⊕ at the end.

    m begins at the lowest finite number and not at −∞, so that −∞ − m is never NaN.
    """
    row = tl.program_id(0).to(tl.int64)
    x += row * x_stride
    y += row * y_stride
    if FITS:
        in_one_block(x, y, columns, BLOCK, WORK)
    else:
        m = tl.full((BLOCK,), -3.4028234663852886e38, WORK)
        d = tl.zeros((BLOCK,), WORK)
        for start in range(0, columns, BLOCK):
            v = lanes_of(x, start, columns, BLOCK, WORK)
            m_new = tl.maximum(m, v)
            d = d * tl.exp(m - m_new) + tl.exp(v - m_new)
            m = m_new
        largest = tl.max(m, 0)
        total = tl.sum(d * tl.exp(m - largest), 0)
        for start in range(0, columns, BLOCK):
            v = lanes_of(x, start, columns, BLOCK, WORK)
            store(y, start, columns, tl.exp(v - largest) / total, BLOCK)


@triton.jit
def exponent(v):
    """n of e^v = p·2^n, v clamped to ±LIMIT; NaN stays NaN."""
    return tl.floor(clamped(v) * LOG2_E + 0.5)


@triton.jit
def mantissa(v, n):
    return tl.exp((clamped(v) - n * LN2_HIGH) - n * LN2_LOW)


@triton.jit
def clamped(v):
    v = tl.where(v < -LIMIT, -LIMIT, v)
    return tl.where(v > LIMIT, LIMIT, v)


@triton.jit
def two_pass(x, y, columns, x_stride, y_stride, BLOCK: tl.constexpr, FITS: tl.constexpr, WORK: tl.constexpr):
    """Dukhan & Ablavatski (arXiv:2001.04438): each lane keeps a sum s·2^k; no maximum of logits is taken.

    A row whose largest logit lies beyond LIMIT, or that has no sum at all, is left to the three passes.
    """
    row = tl.program_id(0).to(tl.int64)
    x += row * x_stride
    y += row * y_stride
    k = tl.full((BLOCK,), NO_EXPONENT, WORK)
    s = tl.zeros((BLOCK,), WORK)
    for start in range(0, columns, BLOCK):
        v = lanes_of(x, start, columns, BLOCK, WORK)
        n = exponent(v)
        k_new = tl.maximum(k, n)
        s = s * tl.exp2(k - k_new) + mantissa(v, n) * tl.exp2(n - k_new)
        k = k_new
    top = tl.max(k, 0)
    total = tl.sum(s * tl.exp2(k - top), 0)
    if tl.abs(top) < 14_700.0:  # NaN is not
        for start in range(0, columns, BLOCK):
            v = lanes_of(x, start, columns, BLOCK, WORK)
            n = exponent(v)
            store(y, start, columns, mantissa(v, n) * tl.exp2(n - top) / total, BLOCK)
    else:
        in_three_passes(x, y, columns, BLOCK, WORK)
