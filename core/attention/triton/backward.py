"""Algorithm 2 of FlashAttention-2, with one order for every sum: dQ by queries, dK and dV by keys.

As in the forward pass, only tiles at an edge are masked.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .choices import column_bits, kept, row_bits, seed_of
from .order import block_of, keys_of, queries_of
from .scores import LOG2_E, finite, numbers, powers, scores, tile


@triton.jit
def preprocess(
    o, do, lse, dlse, powers_of_2, delta, rows, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    """Δ = rowsum(dO∘O) − dL, and L·log₂e, of contiguous rows.

    Of a row that sees nothing L becomes +∞, so that e^(s − L) is 0.
    """
    first = tl.program_id(0).to(tl.int64) * BLOCK
    d = tl.sum(tile(o, first, rows, SIZE, SIZE, BLOCK, WIDTH, True).to(tl.float32)
               * tile(do, first, rows, SIZE, SIZE, BLOCK, WIDTH, True).to(tl.float32), 1)  # fmt: skip
    at = first + tl.arange(0, BLOCK)
    tl.store(delta + at, d - numbers(dlse, at, rows), mask=at < rows)
    L = numbers(lse, at, rows) * LOG2_E
    tl.store(powers_of_2 + at, tl.where(-float("inf") == L, float("inf"), L), mask=at < rows)


@triton.jit
def walk_keys(
    dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, start, stop, rule, bits, seed_b, threshold, share,
    KIND: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr,
):  # fmt: skip
    keys, scale = rule[4], rule[5]
    MASKED: tl.constexpr = KIND.MASK > 0 or (EDGE and (KIND.LOW or KIND.HIGH))
    for j0 in range(start, stop, BLOCK_N):
        j = j0 + tl.arange(0, BLOCK_N)
        k_j = tile(k, j0, keys, k_n, KIND.D, BLOCK_N, KIND.WIDTH, EDGE)
        v_j = tile(v, j0, keys, v_n, KIND.D_V, BLOCK_N, KIND.WIDTH_V, EDGE)
        u, t = scores(
            tl.dot(q_i, tl.trans(k_j), input_precision="ieee"), i[:, None], j[None, :], rule, KIND, EDGE, True
        )
        p = powers(u, L[:, None], scale, KIND)
        dp = tl.dot(do_i, tl.trans(v_j), input_precision="ieee")
        if KIND.DROP:
            dp = tl.where(kept(bits[:, None], column_bits(seed_b, j)[None, :], threshold), dp * share, 0.0)
        ds = p * (dp - delta_i[:, None])
        if KIND.CAP:
            ds *= 1 - t * t
        if MASKED:
            ds = tl.where(u == -float("inf"), 0.0, ds)
            k_j = finite(k_j)  # a NaN in an unmasked key is in ds already
        dq_i = tl.dot(ds.to(k_j.dtype), k_j, dq_i, input_precision="ieee")
    return dq_i


@triton.jit(do_not_specialize=["seed", "about_queries", "about_keys"])
def of_queries(
    q, k, v, do, lse, delta, dq, mask, slopes, q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n,
    mask_b, mask_h, mask_i, mask_j, slopes_b, sequences, section, heads, groups, queries, keys,
    scale, cap, low, high, shift, seed, threshold, share, about_queries, about_keys,
    KIND: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """dQ of one block of queries; lse in powers of 2, as `preprocess` gives it."""
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
    first = sequence.to(tl.int64) * queries
    q_i = tile(q + b * q_b + h * q_h, i0, queries, q_n, KIND.D, BLOCK_M, KIND.WIDTH, True)
    do_i = tile(do + first * KIND.D_V, i0, queries, KIND.D_V, KIND.D_V, BLOCK_M, KIND.WIDTH_V, True)
    L = numbers(lse + first, i, queries)
    delta_i = numbers(delta + first, i, queries)
    dq_i = tl.zeros((BLOCK_M, KIND.WIDTH), tl.float32)
    start, full, end, stop = keys_of(i0, queries, keys, low, high, KIND, BLOCK_M, BLOCK_N)
    if KIND.LOW:
        dq_i = walk_keys(
            dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, start, tl.minimum(full, stop), rule, bits, seed_b,
            threshold, share, KIND, BLOCK_N, True,
        )  # fmt: skip
    dq_i = walk_keys(
        dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, full, end, rule, bits, seed_b, threshold, share,
        KIND, BLOCK_N, False,
    )  # fmt: skip
    dq_i = walk_keys(
        dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, end, stop, rule, bits, seed_b, threshold, share,
        KIND, BLOCK_N, True,
    )  # fmt: skip
    c = tl.arange(0, KIND.WIDTH)
    at = dq + (first + i)[:, None] * KIND.D + c[None, :]
    tl.store(at, (dq_i * scale).to(dq.dtype.element_ty), mask=(i < queries)[:, None] & (c < KIND.D)[None, :])


@triton.jit
def walk_queries(
    dk_j, dv_j, k_j, v_j, q, do, lse, delta, q_n, j, start, stop, rule, columns, seed_b, h, threshold, share,
    KIND: tl.constexpr, BLOCK_M: tl.constexpr, EDGE: tl.constexpr,
):  # fmt: skip
    queries, scale = rule[3], rule[5]
    MASKED: tl.constexpr = KIND.MASK > 0 or (EDGE and (KIND.LOW or KIND.HIGH))
    for i0 in range(start, stop, BLOCK_M):
        i = i0 + tl.arange(0, BLOCK_M)
        q_i = tile(q, i0, queries, q_n, KIND.D, BLOCK_M, KIND.WIDTH, True)
        do_i = tile(do, i0, queries, KIND.D_V, KIND.D_V, BLOCK_M, KIND.WIDTH_V, True)
        L = numbers(lse, i, queries)
        delta_i = numbers(delta, i, queries)
        u, t = scores(
            tl.dot(k_j, tl.trans(q_i), input_precision="ieee"),
            i[None, :],
            j[:, None],
            rule,
            KIND,
            EDGE,
            False,
        )
        p = powers(u, L[None, :], scale, KIND)
        if MASKED:
            p = tl.where(u == -float("inf"), 0.0, p)  # also where the query is NaN
        dp = tl.dot(v_j, tl.trans(do_i), input_precision="ieee")
        dropped = p
        if KIND.DROP:
            keeps = kept(row_bits(seed_b, h, i)[None, :], columns[:, None], threshold)
            dp = tl.where(keeps, dp * share, 0.0)
            dropped = tl.where(keeps, p, 0.0)
        dv_j = tl.dot(dropped.to(do_i.dtype), do_i, dv_j, input_precision="ieee")
        ds = p * (dp - delta_i[None, :])
        if KIND.CAP:
            ds *= 1 - t * t
        if MASKED:
            ds = tl.where(p == 0, 0.0, ds)  # masked, without keeping u
            q_i = finite(q_i)  # as a key's in `walk_keys`
        dk_j = tl.dot(ds.to(q_i.dtype), q_i, dk_j, input_precision="ieee")
    return dk_j, dv_j


@triton.jit(do_not_specialize=["seed", "about_queries", "about_keys"])
def of_keys(
    q, k, v, do, lse, delta, dk, dv, mask, slopes, q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n,
    mask_b, mask_h, mask_i, mask_j, slopes_b, sequences, section, heads, groups, queries, keys,
    scale, cap, low, high, shift, seed, threshold, share, about_queries, about_keys,
    KIND: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """dK and dV of one block of keys; `sequences` are those of K, and lse is in powers of 2."""
    block, sequence = block_of(sequences, section, KIND.LOW and not KIND.HIGH)
    kv_heads = heads // groups
    b, kv = (sequence // kv_heads).to(tl.int64), (sequence % kv_heads).to(tl.int64)
    j0 = block * BLOCK_N
    j = j0 + tl.arange(0, BLOCK_N)
    k_j = tile(k + b * k_b + kv * k_h, j0, keys, k_n, KIND.D, BLOCK_N, KIND.WIDTH, True)
    v_j = tile(v + b * v_b + kv * v_h, j0, keys, v_n, KIND.D_V, BLOCK_N, KIND.WIDTH_V, True)
    seed_b, columns = b, j
    if KIND.DROP:
        seed_b = seed_of(seed, b)
        columns = column_bits(seed_b, j)
    dk_j = tl.zeros((BLOCK_N, KIND.WIDTH), tl.float32)
    dv_j = tl.zeros((BLOCK_N, KIND.WIDTH_V), tl.float32)
    start, full, end, stop = queries_of(j0, queries, keys, low, high, KIND, BLOCK_M, BLOCK_N)
    for g in range(groups):  # inside, so that nothing is added by two programs
        h = kv * groups + g
        slope = 0.0
        if KIND.ALIBI:
            slope = tl.load(slopes + b * slopes_b + h)
        mask_of_head = mask
        if KIND.MASK > 0:
            mask_of_head = mask + b * mask_b + h * mask_h
        rule = (mask_of_head, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift)
        first = (b * heads + h) * queries
        q_h0, do_h = q + b * q_b + h * q_h, do + first * KIND.D_V
        if KIND.HIGH:
            dk_j, dv_j = walk_queries(
                dk_j, dv_j, k_j, v_j, q_h0, do_h, lse + first, delta + first, q_n, j, start,
                tl.minimum(full, stop), rule, columns, seed_b, h, threshold, share, KIND, BLOCK_M, True,
            )  # fmt: skip
        dk_j, dv_j = walk_queries(
            dk_j, dv_j, k_j, v_j, q_h0, do_h, lse + first, delta + first, q_n, j, full, end, rule, columns,
            seed_b, h, threshold, share, KIND, BLOCK_M, False,
        )  # fmt: skip
        if KIND.LOW:
            dk_j, dv_j = walk_queries(
                dk_j, dv_j, k_j, v_j, q_h0, do_h, lse + first, delta + first, q_n, j, end, stop, rule,
                columns, seed_b, h, threshold, share, KIND, BLOCK_M, True,
            )  # fmt: skip
    rows = sequence.to(tl.int64) * keys + j
    c, c_v = tl.arange(0, KIND.WIDTH), tl.arange(0, KIND.WIDTH_V)
    inside = (j < keys)[:, None]
    dk_j, dv_j = (dk_j * scale).to(dk.dtype.element_ty), (dv_j * share).to(dv.dtype.element_ty)
    tl.store(dk + rows[:, None] * KIND.D + c[None, :], dk_j, mask=inside & (c < KIND.D)[None, :])
    tl.store(dv + rows[:, None] * KIND.D_V + c_v[None, :], dv_j, mask=inside & (c_v < KIND.D_V)[None, :])
