"""Algorithm 2 of FlashAttention-2 (Dao, arXiv:2307.08691), with the queries outside, and the gradient through L.

A part is a range of keys of one head of k and v. One thread works on it alone and adds in one order, so results are the
same to the bit from call to call; where heads are fewer than threads they are cut into several parts, each of which has
a dQ of its own, added up in order afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import float32

from ...compiled.kernel import Share, always_inlined
from ...compiled.products import multiply, multiply_add
from ...compiled.vectors import load_float, load_int, load_long, take
from .arguments import KEYS_BACKWARD, QUERIES, Rows
from .blocks import all_in_band, copy_rows, into_lanes, keys_in_band, out_of_lanes
from .job import COUNTER, OWN, floats, ints, read, rows, scratch_of
from .masked_products import add_over_keys, add_over_queries, all_finite, zero_masked
from .masks import ALL_HIDDEN, NOTHING_HIDDEN, apply_mask, read_mask
from .softmax import (
    LOG2_E,
    LOWEST,
    cap_and_keep,
    drop,
    mask_by_band,
    probabilities,
    score_gradients,
    subtract_alibi,
    through_cap,
)


def room(d: int, d_v: int, d_padded: int, d_v_padded: int) -> int:
    """How many bytes of scratch memory a thread needs."""
    return 4 * QUERIES * (d + 2 * max(d, d_v) + d_padded + d_v_padded + 5 * KEYS_BACKWARD + 3)


class Own(NamedTuple):
    """The further arguments of the backward pass.

    Attributes:
        do: of the output's gradient.
        dk, dv: of tensors with heads of k, all 0, whose rows are a multiple of LANES.
        dlse: address of (batch, heads, queries) float32.
        dq: address of (parts of a head, batch, heads, queries, d) float32; need not be 0.
        ends: address of int64 (parts of a head + 1,), the keys at which parts begin, then the number of keys.
        parts: of a head.
    """

    do: Rows
    dk: Rows
    dv: Rows
    dlse: int
    dq: int
    ends: int
    parts: int


@Share
def backward(index, job):  # type: ignore[no-untyped-def]
    """Take parts from the counter until there are none left; several threads may be at it at once.

    Args:
        index: of the scratch memory that nobody else uses.
        job: address of what `packed` has packed, with the numbers of `Own`; `room(…)` bytes of scratch memory.
    """
    common = read(job)
    own = Own(
        rows(job + 8 * OWN), rows(job + 8 * (OWN + 4)), rows(job + 8 * (OWN + 8)),
        load_long(job, OWN + 12), load_long(job, OWN + 13), load_long(job, OWN + 14), load_long(job, OWN + 15),
    )  # fmt: skip
    task, parts, counter = common.task, own.parts, job + COUNTER
    scratch = scratch_of(common, index)
    item = take(counter)
    while item < task.batch * task.kv_heads * parts:
        part, bh = item % parts, item // parts
        b, kv = bh // task.kv_heads, bh % task.kv_heads
        groups = task.heads // task.kv_heads
        begin, stop = load_long(own.ends, part), load_long(own.ends, part + 1)
        for h in range(kv * groups, (kv + 1) * groups):
            row = (b * task.heads + h) * task.queries
            dq_head = own.dq + 4 * task.d * (part * task.batch * task.heads * task.queries + row)
            for i0 in range(0, task.queries, QUERIES):
                _block(common, own, dq_head + 4 * i0 * task.d, scratch, b, h, kv, i0, begin, stop)
        item = take(counter)


@always_inlined
def _block(common, own, dq, scratch, b, h, kv, i0, begin, stop):  # type: ignore[no-untyped-def]
    q, k, v, o, mask, task, extras = (
        common.q,
        common.k,
        common.v,
        common.o,
        common.mask,
        common.task,
        common.extras,
    )
    do, dk, dv = own.do, own.dk, own.dv
    d, d_v, d_padded, d_v_padded = task.d, task.d_v, dk.row, dv.row
    count = min(QUERIES, task.queries - i0)
    tile = 4 * KEYS_BACKWARD * QUERIES
    at_Q = scratch
    at_O = at_Q + 4 * d * QUERIES
    at_dO = at_O + 4 * max(d, d_v) * QUERIES
    Q = at_dO + 4 * max(d, d_v) * QUERIES
    dO = Q + 4 * d_padded * QUERIES
    at_P = dO + 4 * d_v_padded * QUERIES
    at_dS, at_T, at_Z, at_scores = at_P + tile, at_P + 2 * tile, at_P + 3 * tile, at_P + 4 * tile
    rest = at_P + 5 * tile
    size = KEYS_BACKWARD * QUERIES
    P, dS = floats(at_P, size), floats(at_dS, size)
    # Where they are in use: tanh of the cap, P with dropout, the mask's numbers and then the scores, after P has taken
    # their place.
    T, Z, scores = floats(at_T, size), floats(at_Z, size), floats(at_scores, size)
    Qt, Ot, dOt = floats(at_Q, d * QUERIES), floats(at_O, d_v * QUERIES), floats(at_dO, d_v * QUERIES)
    L, D, bits = floats(rest, QUERIES), floats(rest + 4 * QUERIES, QUERIES), ints(rest + 8 * QUERIES, QUERIES)
    at_dQ = at_O  # once D is known
    dQt = floats(at_dQ, d * QUERIES)
    K = k.address + 4 * (b * k.batch + kv * k.head)
    V = v.address + 4 * (b * v.batch + kv * v.head)
    dK = dk.address + 4 * (b * dk.batch + kv * dk.head)
    dV = dv.address + 4 * (b * dv.batch + kv * dv.head)
    of_q = q.address + 4 * (b * q.batch + h * q.head + i0 * q.row)
    of_do = do.address + 4 * (b * do.batch + h * do.head + i0 * do.row)
    of_o = o.address + 4 * (b * o.batch + h * o.head + i0 * o.row)
    of_mask = mask.address + mask.kind * (b * mask.batch + h * mask.head + i0 * mask.query)
    row = (b * task.heads + h) * task.queries + i0
    first, end = keys_in_band(task, i0, count)
    first, end = max(first, begin), min(end, stop)
    finite = True
    if first < end:
        # dS carries the scale of both dQ and dK, which it has from dO and D.
        unit = float32(task.scale / extras.softcap if extras.softcap else task.scale * LOG2_E)
        into_lanes(at_Q, of_q, q.row, count, d, unit)
        into_lanes(at_dO, of_do, do.row, count, d_v, float32(task.scale))
        into_lanes(at_O, of_o, o.row, count, d_v, float32(1.0))
        copy_rows(Q, of_q, q.row, count, d, d_padded)
        copy_rows(dO, of_do, do.row, count, d_v, d_v_padded)
        # D of the paper; L adds its own gradient to every score of its row, weighted by P.
        for i in range(QUERIES):
            D[i] = L[i] = float32(0.0)
        for c in range(d_v):
            for i in range(QUERIES):
                D[i] += dOt[c * QUERIES + i] * Ot[c * QUERIES + i]
        for i in range(count):
            logarithm = load_float(common.lse, row + i) * LOG2_E
            # NaN stays; −∞, of a row that sees nothing, would make NaN of −∞ − (−∞).
            L[i] = LOWEST if logarithm < LOWEST else logarithm
            D[i] -= task.scale * load_float(own.dlse, row + i)
        finite = all_finite(Qt, d * QUERIES) and all_finite(dOt, d_v * QUERIES) and all_finite(D, QUERIES)
    for n in range(d * QUERIES):
        dQt[n] = float32(0.0)
    if extras.row_bits:
        for i in range(QUERIES):
            bits[i] = load_int(extras.row_bits, row + min(i, count - 1))
    diagonal = i0 + task.shift
    for j0 in range(first, end, KEYS_BACKWARD):
        width = min(KEYS_BACKWARD, end - j0)
        hidden = NOTHING_HIDDEN
        if mask.kind:
            hidden = read_mask(at_scores, of_mask + mask.kind * j0 * mask.key, mask, width, count)
            if hidden == ALL_HIDDEN:
                continue
        K_j, V_j = K + 4 * j0 * k.row, V + 4 * j0 * v.row
        multiply(at_P, QUERIES, K_j, k.row, 1, at_Q, QUERIES, width, QUERIES, d)
        multiply(at_dS, QUERIES, V_j, v.row, 1, at_dO, QUERIES, width, QUERIES, d_v)
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
        if hidden != NOTHING_HIDDEN:
            apply_mask(P, at_scores, mask.kind, width)
        if careful:
            for n in range(width * QUERIES):
                scores[n] = P[n]
        probabilities(P, width, L)
        if careful:
            zero_masked(P, scores, width)
        kept, at_kept = P, at_P
        if extras.row_bits:
            kept, at_kept = Z, at_Z
            columns = extras.column_bits + 4 * (b * task.keys + j0)
            for n in range(width * QUERIES):
                Z[n] = P[n]
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
            multiply_add(dV_j, d_v_padded, at_kept, QUERIES, 1, dO, d_v_padded, width, d_v_padded, count)
            multiply_add(dK_j, d_padded, at_dS, QUERIES, 1, Q, d_padded, width, d_padded, count)
            multiply_add(at_dQ, QUERIES, K_j, 1, k.row, at_dS, QUERIES, d, QUERIES, width)
    out_of_lanes(dq, d, at_dQ, count, d)
