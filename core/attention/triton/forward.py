"""Algorithm 1 of FlashAttention-2: a block of queries, tile by tile of keys; those at an edge are masked."""

from __future__ import annotations

import triton
import triton.language as tl

from .choices import column_bits, kept, row_bits, seed_of
from .order import block_of, keys_of
from .scores import LN_2, LOG2_E, powers, scores, tile, without_masked

# ruff: noqa: E741 — l is the paper's symbol


@triton.jit
def walk(
    acc, l, m, q_i, k, v, k_n, v_n, i, start, stop, rule, bits, seed_b, threshold,
    KIND: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr,
):  # fmt: skip
    """O, not yet divided, each row's sum ℓ and its maximum m, in powers of 2, after the keys to `stop`."""
    keys, scale = rule[4], rule[5]
    MASKED: tl.constexpr = KIND.MASK > 0 or (EDGE and (KIND.LOW or KIND.HIGH))
    for j0 in range(start, stop, BLOCK_N):
        j = j0 + tl.arange(0, BLOCK_N)
        k_j = tile(k, j0, keys, k_n, KIND.D, BLOCK_N, KIND.WIDTH, EDGE)
        u, _ = scores(
            tl.dot(q_i, tl.trans(k_j), input_precision="ieee"), i[:, None], j[None, :], rule, KIND, EDGE, True
        )
        largest = tl.max(u, 1)
        if KIND.FOLDED:
            largest *= scale * LOG2_E  # of a row and not of each of its scores: the scale is above 0
        m_new = tl.maximum(m, largest)
        lowest = tl.where(m_new == -float("inf"), 0.0, m_new)
        p = powers(u, lowest[:, None], scale, KIND)
        rescale = tl.exp2(m - lowest)
        l = l * rescale + tl.sum(p, 1)
        if KIND.DROP:
            p = tl.where(kept(bits[:, None], column_bits(seed_b, j)[None, :], threshold), p, 0.0)
        v_j = tile(v, j0, keys, v_n, KIND.D_V, BLOCK_N, KIND.WIDTH_V, EDGE)
        if MASKED:
            p, v_j = without_masked(p, u, v_j)
        acc = tl.dot(p.to(v_j.dtype), v_j, acc * rescale[:, None], input_precision="ieee")
        m = m_new
    return acc, l, m


@triton.jit(do_not_specialize=["seed", "about_queries", "about_keys"])
def forward(
    q, k, v, o, lse, mask, slopes, sink, q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n,
    mask_b, mask_h, mask_i, mask_j, slopes_b, sequences, section, heads, groups, queries, keys,
    scale, cap, low, high, shift, seed, threshold, share, about_queries, about_keys,
    KIND: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """O and L of one block of queries. The last two numbers, lengths rounded, are read by the tuner alone."""
    block, sequence = block_of(sequences, section, KIND.HIGH)
    b, h = (sequence // heads).to(tl.int64), (sequence % heads).to(tl.int64)
    i0 = block * BLOCK_M
    i = i0 + tl.arange(0, BLOCK_M)
    k += b * k_b + (h // groups) * k_h
    v += b * v_b + (h // groups) * v_h
    slope = 0.0
    if KIND.ALIBI:
        slope = tl.load(slopes + b * slopes_b + h)
    if KIND.MASK > 0:
        mask += b * mask_b + h * mask_h
    seed_b, bits = b, i
    if KIND.DROP:
        seed_b = seed_of(seed, b)
        bits = row_bits(seed_b, h, i)
    rule = (mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift)
    q_i = tile(q + b * q_b + h * q_h, i0, queries, q_n, KIND.D, BLOCK_M, KIND.WIDTH, True)
    m = tl.full((BLOCK_M,), -float("inf"), tl.float32)
    l = tl.zeros((BLOCK_M,), tl.float32)
    acc = tl.zeros((BLOCK_M, KIND.WIDTH_V), tl.float32)
    start, full, end, stop = keys_of(i0, queries, keys, low, high, KIND, BLOCK_M, BLOCK_N)
    if KIND.LOW:
        acc, l, m = walk(
            acc, l, m, q_i, k, v, k_n, v_n, i, start, tl.minimum(full, stop), rule, bits, seed_b, threshold,
            KIND, BLOCK_N, True,
        )  # fmt: skip
    acc, l, m = walk(
        acc, l, m, q_i, k, v, k_n, v_n, i, full, end, rule, bits, seed_b, threshold, KIND, BLOCK_N, False
    )
    acc, l, m = walk(
        acc, l, m, q_i, k, v, k_n, v_n, i, end, stop, rule, bits, seed_b, threshold, KIND, BLOCK_N, True
    )
    if KIND.SINK:
        s = tl.load(sink + h).to(tl.float32) * LOG2_E
        m_new = tl.maximum(m, s)
        lowest = tl.where(m_new == -float("inf"), 0.0, m_new)
        rescale = tl.exp2(m - lowest)
        l = l * rescale + tl.exp2(s - lowest)
        acc = acc * rescale[:, None]
        m = m_new
    acc = acc * (share / tl.where(l == 0, 1.0, l))[:, None]
    rows = sequence.to(tl.int64) * queries + i
    tl.store(lse + rows, (m + tl.log2(l)) * LN_2, mask=i < queries)
    c = tl.arange(0, KIND.WIDTH_V)
    at = o + rows[:, None] * KIND.D_V + c[None, :]
    tl.store(at, acc.to(o.dtype.element_ty), mask=(i < queries)[:, None] & (c < KIND.D_V)[None, :])
