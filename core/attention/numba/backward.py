"""Algorithm 2 of FlashAttention-2 (Dao, arXiv:2307.08691), with the queries outside, and the gradient through L.

A part is a range of keys of one head of k and v. One thread works on it alone and adds in one order, so results are the
same to the bit from call to call; where heads are fewer than threads they are cut into several parts, each of which has
a dQ of its own, added up in order afterwards.
"""

from __future__ import annotations

from numba import float32

from ...compiled.kernel import inlined, kernel
from ...compiled.products import multiply, multiply_add
from ...compiled.vectors import load_float, load_int, take
from .arguments import KEYS_BACKWARD, QUERIES
from .blocks import all_in_band, copy_rows, into_lanes, keys_in_band, out_of_lanes
from .masked_products import add_over_keys, add_over_queries, all_finite, zero_masked
from .softmax import (
    LOG2_E,
    LOWEST,
    apply_mask,
    cap_and_keep,
    drop,
    mask_by_band,
    probabilities,
    score_gradients,
    subtract_alibi,
    through_cap,
)


def room(d: int, d_v: int, d_padded: int, d_v_padded: int) -> int:
    """How many numbers of scratch memory a thread needs."""
    return QUERIES * (d + 2 * max(d, d_v) + d_padded + d_v_padded + 5 * KEYS_BACKWARD + 2)


@kernel
def backward(q, k, v, mask, o, do, lse, dlse, dq, dk, dv, ends, task, extras, scale, counter, scratch, bits):  # type: ignore[no-untyped-def]
    """Take parts from `counter` until there are none left; several threads may be at it at once.

    Args:
        q, k, v, o, do: `Rows`.
        lse, dlse: addresses of (batch, heads, queries) float32.
        dq: address of (parts of a head, batch, heads, queries, d) float32; need not be 0.
        dk, dv: `Rows` of tensors with heads of k, all 0, whose rows are a multiple of LANES.
        ends: int64 (parts of a head + 1,), the keys at which parts begin, then the number of keys.
        mask, task, extras, counter, scratch, bits: as in `forward`.
    """
    parts = ends.size - 1
    item = take(counter)
    while item < task.batch * task.kv_heads * parts:
        part, bh = item % parts, item // parts
        b, kv = bh // task.kv_heads, bh % task.kv_heads
        groups = task.heads // task.kv_heads
        for h in range(kv * groups, (kv + 1) * groups):
            row = (b * task.heads + h) * task.queries
            dq_head = dq + 4 * task.d * (part * task.batch * task.heads * task.queries + row)
            for i0 in range(0, task.queries, QUERIES):
                _block(
                    q, k, v, mask, o, do, lse + 4 * (row + i0), dlse + 4 * (row + i0), dq_head + 4 * i0 * task.d,
                    dk, dv, task, extras, scale, scratch, bits, b, h, kv, i0, ends[part], ends[part + 1],
                )  # fmt: skip
        item = take(counter)


@inlined
def _block(  # type: ignore[no-untyped-def]
    q, k, v, mask, o, do, lse, dlse, dq, dk, dv, task, extras, scale, scratch, bits, b, h, kv, i0, begin, stop
):
    d, d_v, d_padded, d_v_padded = task.d, task.d_v, dk.row, dv.row
    count = min(QUERIES, task.queries - i0)
    Qt, rest = scratch[: d * QUERIES], scratch[d * QUERIES :]
    Ot, rest = rest[: max(d, d_v) * QUERIES], rest[max(d, d_v) * QUERIES :]
    dOt, rest = rest[: max(d, d_v) * QUERIES], rest[max(d, d_v) * QUERIES :]
    Q, rest = rest[: d_padded * QUERIES], rest[d_padded * QUERIES :]
    dO, rest = rest[: d_v_padded * QUERIES], rest[d_v_padded * QUERIES :]
    P, rest = rest[: KEYS_BACKWARD * QUERIES], rest[KEYS_BACKWARD * QUERIES :]
    dS, rest = rest[: KEYS_BACKWARD * QUERIES], rest[KEYS_BACKWARD * QUERIES :]
    # Where they are in use: tanh of the cap, P with dropout, and the scores after P has taken their diagonal.
    T, rest = rest[: KEYS_BACKWARD * QUERIES], rest[KEYS_BACKWARD * QUERIES :]
    Z, rest = rest[: KEYS_BACKWARD * QUERIES], rest[KEYS_BACKWARD * QUERIES :]
    scores, rest = rest[: KEYS_BACKWARD * QUERIES], rest[KEYS_BACKWARD * QUERIES :]
    L, D = rest[:QUERIES], rest[QUERIES : 2 * QUERIES]
    dQt = Ot[: d * QUERIES]  # once D is known
    K = k.address + 4 * (b * k.batch + kv * k.head)
    V = v.address + 4 * (b * v.batch + kv * v.head)
    dK = dk.address + 4 * (b * dk.batch + kv * dk.head)
    dV = dv.address + 4 * (b * dv.batch + kv * dv.head)
    of_q = q.address + 4 * (b * q.batch + h * q.head + i0 * q.row)
    of_do = do.address + 4 * (b * do.batch + h * do.head + i0 * do.row)
    of_o = o.address + 4 * (b * o.batch + h * o.head + i0 * o.row)
    first, end = keys_in_band(task, i0, count)
    first, end = max(first, begin), min(end, stop)
    finite = True
    if first < end:
        # dS carries the scale of both dQ and dK, which it has from dO and D.
        unit = float32(scale / extras.softcap if extras.softcap else scale * LOG2_E)
        into_lanes(Qt, of_q, q.row, count, d, unit)
        into_lanes(dOt, of_do, do.row, count, d_v, scale)
        into_lanes(Ot, of_o, o.row, count, d_v, float32(1.0))
        copy_rows(Q, of_q, q.row, count, d, d_padded)
        copy_rows(dO, of_do, do.row, count, d_v, d_v_padded)
        # D of the paper; L adds its own gradient to every score of its row, weighted by P.
        D[:] = float32(0.0)
        for c in range(d_v):
            for i in range(QUERIES):
                D[i] += dOt[c * QUERIES + i] * Ot[c * QUERIES + i]
        L[:] = float32(0.0)
        for i in range(count):
            logarithm = load_float(lse, i) * LOG2_E
            # NaN stays; −∞, of a row that sees nothing, would make NaN of −∞ − (−∞).
            L[i] = LOWEST if logarithm < LOWEST else logarithm
            D[i] -= scale * load_float(dlse, i)
        finite = all_finite(Qt, d * QUERIES) and all_finite(dOt, d_v * QUERIES) and all_finite(D, QUERIES)
    dQt[:] = float32(0.0)
    if extras.row_bits:
        row = (b * task.heads + h) * task.queries + i0
        for i in range(QUERIES):
            bits[i] = load_int(extras.row_bits, row + min(i, count - 1))
    diagonal = i0 + task.shift
    for j0 in range(first, end, KEYS_BACKWARD):
        width = min(KEYS_BACKWARD, end - j0)
        K_j, V_j = K + 4 * j0 * k.row, V + 4 * j0 * v.row
        multiply(P.ctypes.data, QUERIES, K_j, k.row, 1, Qt.ctypes.data, QUERIES, width, QUERIES, d)
        multiply(dS.ctypes.data, QUERIES, V_j, v.row, 1, dOt.ctypes.data, QUERIES, width, QUERIES, d_v)
        at_edge = not all_in_band(task, i0, count, j0, width)
        careful = at_edge or mask.kind != 0
        careful = careful and not (
            finite and all_finite(P, width * QUERIES) and all_finite(dS, width * QUERIES)
        )
        if extras.softcap:
            cap_and_keep(P, T, width, extras.softcap)
        if extras.slopes:
            slope = load_float(extras.slopes, b * extras.slopes_batch + h)
            subtract_alibi(P, j0, width, diagonal, slope)
        if at_edge:
            mask_by_band(P, j0, width, diagonal, task.left, task.right)
        if mask.kind:
            apply_mask(P, j0, width, i0, count, mask, b, h)
        if careful:
            scores[: width * QUERIES] = P[: width * QUERIES]
        probabilities(P, width, L)
        if careful:
            zero_masked(P, scores, width)
        kept = P
        if extras.row_bits:
            kept = Z
            columns = extras.column_bits + 4 * (b * task.keys + j0)
            Z[: width * QUERIES] = P[: width * QUERIES]
            drop(Z, width, bits, columns, extras.threshold, extras.kept_times)
            drop(dS, width, bits, columns, extras.threshold, extras.kept_times)
        score_gradients(dS, P, width, D)
        if extras.softcap:
            through_cap(dS, T, width)
        dV_j, dK_j = dV + 4 * j0 * d_v_padded, dK + 4 * j0 * d_padded
        if careful:
            zero_masked(dS, scores, width)
            add_over_queries(dV_j, kept, scores, dO, d_v_padded, width, count)
            add_over_queries(dK_j, dS, scores, Q, d_padded, width, count)
            add_over_keys(dQt, K_j, k.row, dS, scores, d, width)
        else:
            multiply_add(
                dV_j,
                d_v_padded,
                kept.ctypes.data,
                QUERIES,
                1,
                dO.ctypes.data,
                d_v_padded,
                width,
                d_v_padded,
                count,
            )
            multiply_add(
                dK_j, d_padded, dS.ctypes.data, QUERIES, 1, Q.ctypes.data, d_padded, width, d_padded, count
            )
            multiply_add(dQt.ctypes.data, QUERIES, K_j, 1, k.row, dS.ctypes.data, QUERIES, d, QUERIES, width)
    out_of_lanes(dq, d, dQt, count, d)
