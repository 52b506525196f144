"""Algorithm 1 of FlashAttention-2: a block of queries, tile by tile of keys; only tiles at an edge are masked."""

from __future__ import annotations

import triton
import triton.language as tl

from .scores import add_product, kept, scores, tile

# ruff: noqa: E741 — l is the paper's symbol

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def walk(
    acc, l, m, q_i, k, v, k_n, v_n, i, start, stop, mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift, bits, column_bits, least,
    D: tl.constexpr, D_V: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr, MASK: tl.constexpr, CAP: tl.constexpr, ALIBI: tl.constexpr, DROP: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr,
):  # fmt: skip
    for j0 in range(start, stop, BLOCK_N):
        j = j0 + tl.arange(0, BLOCK_N)
        k_j = tile(k, j0, keys, k_n, D, BLOCK_N, WIDTH)
        qk = tl.dot(q_i, tl.trans(k_j), input_precision="ieee")
        u, _ = scores(
            qk,
            i[:, None],
            j[None, :],
            mask,
            mask_i,
            mask_j,
            queries,
            keys,
            scale,
            cap,
            slope,
            low,
            high,
            shift,
            MASK,
            CAP,
            ALIBI,
            LOW,
            HIGH,
            EDGE,
        )
        m_new = tl.maximum(m, tl.max(u, 1) * LOG2_E)
        lowest = tl.where(m_new == -float("inf"), 0.0, m_new)
        p = tl.exp2(u * LOG2_E - lowest[:, None])
        rescale = tl.exp2(m - lowest)
        l = l * rescale + tl.sum(p, 1)
        if DROP:
            columns = tl.load(column_bits + j, mask=j < keys, other=0)
            p = tl.where(kept(bits[:, None], columns[None, :], least), p, 0.0)
        v_j = tile(v, j0, keys, v_n, D_V, BLOCK_N, WIDTH_V)
        acc = add_product(acc * rescale[:, None], p, v_j, u != -float("inf"), EDGE or MASK > 0)
        m = m_new
    return acc, l, m


@triton.jit
def forward(
    q, k, v, o, do, lse, delta, dq, dk, dv, mask, slopes, sink, row_bits, column_bits,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, o_b, o_h, o_n, mask_b, mask_h, mask_i, mask_j, slopes_b,
    heads, groups, queries, keys, scale, cap, low, high, shift, least, share,
    D: tl.constexpr, D_V: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr, MASK: tl.constexpr,
    CAP: tl.constexpr, ALIBI: tl.constexpr, SINK: tl.constexpr, DROP: tl.constexpr, LOW: tl.constexpr,
    HIGH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    if HIGH:
        block = tl.num_programs(0) - 1 - block  # the longest first
    bh = tl.program_id(1)
    b, h = (bh // heads).to(tl.int64), (bh % heads).to(tl.int64)
    i0 = block * BLOCK_M
    i1 = tl.minimum(i0 + BLOCK_M, queries)
    i = i0 + tl.arange(0, BLOCK_M)
    q += b * q_b + h * q_h
    k += b * k_b + (h // groups) * k_h
    v += b * v_b + (h // groups) * v_h
    rows = bh.to(tl.int64) * queries + i
    slope = 0.0
    if ALIBI:
        slope = tl.load(slopes + b * slopes_b + h)
    if MASK > 0:
        mask += b * mask_b + h * mask_h
    bits = i
    if DROP:
        bits = tl.load(row_bits + rows, mask=i < queries, other=0)
        column_bits += b * keys
    # Keys from start to stop are seen by some query of the block, those from full to end by all.
    start, stop, full, end = 0, keys, 0, keys
    if LOW:
        start = tl.maximum(0, i0 + low) // BLOCK_N * BLOCK_N
        full = tl.cdiv(tl.maximum(0, i1 - 1 + low), BLOCK_N) * BLOCK_N
    if HIGH:
        stop = tl.minimum(keys, tl.maximum(0, i1 + high))
        end = tl.minimum(keys, tl.maximum(0, i0 + high + 1))
    full = tl.minimum(full, tl.cdiv(tl.maximum(start, stop), BLOCK_N) * BLOCK_N)
    end = tl.maximum(end // BLOCK_N * BLOCK_N, full)
    q_i = tile(q, i0, queries, q_n, D, BLOCK_M, WIDTH)
    m = tl.full((BLOCK_M,), -float("inf"), tl.float32)
    l = tl.zeros((BLOCK_M,), tl.float32)
    acc = tl.zeros((BLOCK_M, WIDTH_V), tl.float32)
    if LOW:
        acc, l, m = walk(
            acc, l, m, q_i, k, v, k_n, v_n, i, start, tl.minimum(full, stop), mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift, bits, column_bits, least, D, D_V, WIDTH, WIDTH_V, MASK, CAP, ALIBI, DROP, LOW, HIGH, BLOCK_M, BLOCK_N, True
        )  # fmt: skip
    acc, l, m = walk(
        acc, l, m, q_i, k, v, k_n, v_n, i, full, end, mask, mask_i, mask_j, queries, keys, scale,
        cap, slope, low, high, shift, bits, column_bits, least, D, D_V, WIDTH, WIDTH_V, MASK, CAP,
        ALIBI, DROP, LOW, HIGH, BLOCK_M, BLOCK_N, False
    )  # fmt: skip
    acc, l, m = walk(
        acc, l, m, q_i, k, v, k_n, v_n, i, end, stop, mask, mask_i, mask_j, queries, keys, scale,
        cap, slope, low, high, shift, bits, column_bits, least, D, D_V, WIDTH, WIDTH_V, MASK, CAP,
        ALIBI, DROP, LOW, HIGH, BLOCK_M, BLOCK_N, True
    )  # fmt: skip
    if SINK:
        s = tl.load(sink + h).to(tl.float32) * LOG2_E
        m_new = tl.maximum(m, s)
        lowest = tl.where(m_new == -float("inf"), 0.0, m_new)
        rescale = tl.exp2(m - lowest)
        l = l * rescale + tl.exp2(s - lowest)
        acc = acc * rescale[:, None]
        m = m_new
    acc = acc * share / tl.where(l == 0, 1.0, l)[:, None]
    tl.store(lse + rows, (m + tl.log2(l)) * LN_2, mask=i < queries)
    c = tl.arange(0, WIDTH_V)
    at = o + b * o_b + h * o_h + i.to(tl.int64)[:, None] * o_n + c[None, :]
    tl.store(at, acc.to(o.dtype.element_ty), mask=(i < queries)[:, None] & (c < D_V)[None, :])
