"""Algorithm 2 of FlashAttention-2, with one order for every sum: dQ by blocks of queries, dK and dV by blocks of keys."""

from __future__ import annotations

import triton
import triton.language as tl

from .scores import add_product, finite, kept, scores, tile

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def preprocess(o, do, dlse, delta, queries, D_V: tl.constexpr, WIDTH_V: tl.constexpr, BLOCK_M: tl.constexpr):
    """Δ = rowsum(dO∘O) − dL of contiguous rows."""
    i = tl.program_id(0) * BLOCK_M
    d = tl.sum(tile(o, i, queries, D_V, D_V, BLOCK_M, WIDTH_V).to(tl.float32)
               * tile(do, i, queries, D_V, D_V, BLOCK_M, WIDTH_V).to(tl.float32), 1)  # fmt: skip
    at = i + tl.arange(0, BLOCK_M)
    tl.store(delta + at, d - tl.load(dlse + at, mask=at < queries, other=0.0), mask=at < queries)


@triton.jit
def walk_keys(
    dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, start, stop, mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift, bits, column_bits, least, share,
    D: tl.constexpr, D_V: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr, MASK: tl.constexpr, CAP: tl.constexpr, ALIBI: tl.constexpr, DROP: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, EDGE: tl.constexpr,
):  # fmt: skip
    for j0 in range(start, stop, BLOCK_N):
        j = j0 + tl.arange(0, BLOCK_N)
        k_j = tile(k, j0, keys, k_n, D, BLOCK_N, WIDTH)
        v_j = tile(v, j0, keys, v_n, D_V, BLOCK_N, WIDTH_V)
        qk = tl.dot(q_i, tl.trans(k_j), input_precision="ieee")
        u, t = scores(
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
        p = tl.exp2(u * LOG2_E - L[:, None])
        dp = tl.dot(do_i, tl.trans(v_j), input_precision="ieee")
        if DROP:
            columns = tl.load(column_bits + j, mask=j < keys, other=0)
            dp = tl.where(kept(bits[:, None], columns[None, :], least), dp * share, 0.0)
        ds = p * (dp - delta_i[:, None])
        if CAP:
            ds *= 1 - t * t
        if EDGE or MASK > 0:
            ds = tl.where(u == -float("inf"), 0.0, ds)
            k_j = finite(k_j)  # a NaN in a key that is seen is in ds already
        dq_i = tl.dot(ds.to(k_j.dtype), k_j, dq_i, input_precision="ieee")
    return dq_i


@triton.jit
def of_queries(
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
    do += b * o_b + h * o_h
    q_i = tile(q, i0, queries, q_n, D, BLOCK_M, WIDTH)
    do_i = tile(do, i0, queries, o_n, D_V, BLOCK_M, WIDTH_V)
    L = tl.load(lse + rows, mask=i < queries, other=-float("inf")) * LOG2_E
    L = tl.where(-float("inf") == L, float("inf"), L)  # rows that see nothing: e^(s − ∞) = 0
    delta_i = tl.load(delta + rows, mask=i < queries, other=0.0)
    dq_i = tl.zeros((BLOCK_M, WIDTH), tl.float32)
    if LOW:
        dq_i = walk_keys(
            dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, start, tl.minimum(full, stop), mask, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift, bits, column_bits, least, share, D, D_V, WIDTH, WIDTH_V, MASK, CAP, ALIBI, DROP, LOW, HIGH, BLOCK_M, BLOCK_N, True
        )  # fmt: skip
    dq_i = walk_keys(
        dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, full, end, mask, mask_i, mask_j, queries,
        keys, scale, cap, slope, low, high, shift, bits, column_bits, least, share, D, D_V, WIDTH,
        WIDTH_V, MASK, CAP, ALIBI, DROP, LOW, HIGH, BLOCK_M, BLOCK_N, False
    )  # fmt: skip
    dq_i = walk_keys(
        dq_i, q_i, do_i, L, delta_i, k, v, k_n, v_n, i, end, stop, mask, mask_i, mask_j, queries,
        keys, scale, cap, slope, low, high, shift, bits, column_bits, least, share, D, D_V, WIDTH,
        WIDTH_V, MASK, CAP, ALIBI, DROP, LOW, HIGH, BLOCK_M, BLOCK_N, True
    )  # fmt: skip
    c = tl.arange(0, WIDTH)
    at = dq + rows[:, None] * D + c[None, :]
    tl.store(at, (dq_i * scale).to(dq.dtype.element_ty), mask=(i < queries)[:, None] & (c < D)[None, :])


@triton.jit
def of_keys(
    q, k, v, o, do, lse, delta, dq, dk, dv, mask, slopes, sink, row_bits, column_bits,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, o_b, o_h, o_n, mask_b, mask_h, mask_i, mask_j, slopes_b,
    heads, groups, queries, keys, scale, cap, low, high, shift, least, share,
    D: tl.constexpr, D_V: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr, MASK: tl.constexpr,
    CAP: tl.constexpr, ALIBI: tl.constexpr, SINK: tl.constexpr, DROP: tl.constexpr, LOW: tl.constexpr,
    HIGH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    kv_heads = heads // groups
    bh = tl.program_id(1)
    b, kv = (bh // kv_heads).to(tl.int64), (bh % kv_heads).to(tl.int64)
    j0 = tl.program_id(0) * BLOCK_N
    j = j0 + tl.arange(0, BLOCK_N)
    k_j = tile(k + b * k_b + kv * k_h, j0, keys, k_n, D, BLOCK_N, WIDTH)
    v_j = tile(v + b * v_b + kv * v_h, j0, keys, v_n, D_V, BLOCK_N, WIDTH_V)
    start, stop = 0, queries
    if HIGH:
        start = tl.maximum(0, j0 - high) // BLOCK_M * BLOCK_M
    if LOW:
        stop = tl.minimum(queries, tl.maximum(0, j0 + BLOCK_N - low))
    columns = j
    if DROP:
        columns = tl.load(column_bits + b * keys + j, mask=j < keys, other=0)
    dk_j = tl.zeros((BLOCK_N, WIDTH), tl.float32)
    dv_j = tl.zeros((BLOCK_N, WIDTH_V), tl.float32)
    for g in range(groups):  # inside, so that nothing is added by two programs
        h = kv * groups + g
        slope = 0.0
        if ALIBI:
            slope = tl.load(slopes + b * slopes_b + h)
        seen_by = mask
        if MASK > 0:
            seen_by = mask + b * mask_b + h * mask_h
        for i0 in range(start, stop, BLOCK_M):
            i = i0 + tl.arange(0, BLOCK_M)
            rows = (b * heads + h) * queries + i
            q_i = tile(q + b * q_b + h * q_h, i0, queries, q_n, D, BLOCK_M, WIDTH)
            do_i = tile(do + b * o_b + h * o_h, i0, queries, o_n, D_V, BLOCK_M, WIDTH_V)
            L = tl.load(lse + rows, mask=i < queries, other=-float("inf")) * LOG2_E
            L = tl.where(-float("inf") == L, float("inf"), L)
            delta_i = tl.load(delta + rows, mask=i < queries, other=0.0)
            qk = tl.dot(k_j, tl.trans(q_i), input_precision="ieee")
            u, t = scores(
                qk, i[None, :], j[:, None], seen_by, mask_i, mask_j, queries, keys, scale, cap, slope, low, high, shift,
                MASK, CAP, ALIBI, LOW, HIGH, True,
            )  # fmt: skip
            p = tl.exp2(u * LOG2_E - L[None, :])
            dp = tl.dot(v_j, tl.trans(do_i), input_precision="ieee")
            dropped = p
            if DROP:
                bits = tl.load(row_bits + rows, mask=i < queries, other=0)
                keeps = kept(bits[None, :], columns[:, None], least)
                dp = tl.where(keeps, dp * share, 0.0)
                dropped = tl.where(keeps, p, 0.0)
            dv_j = add_product(dv_j, dropped, do_i, u != -float("inf"), True)
            ds = tl.where(u == -float("inf"), 0.0, p * (dp - delta_i[None, :]))
            if CAP:
                ds = tl.where(u == -float("inf"), 0.0, ds * (1 - t * t))
            dk_j = tl.dot(ds.to(q_i.dtype), finite(q_i), dk_j, input_precision="ieee")
    to = bh.to(tl.int64) * keys + j
    c, c_v = tl.arange(0, WIDTH), tl.arange(0, WIDTH_V)
    inside = (j < keys)[:, None]
    tl.store(
        dk + to[:, None] * D + c[None, :],
        (dk_j * scale).to(dk.dtype.element_ty),
        mask=inside & (c < D)[None, :],
    )
    tl.store(
        dv + to[:, None] * D_V + c_v[None, :],
        (dv_j * share).to(dv.dtype.element_ty),
        mask=inside & (c_v < D_V)[None, :],
    )
