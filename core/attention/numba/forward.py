"""Algorithm 1 of FlashAttention-2 (Dao, arXiv:2307.08691), for one block of queries after the other."""

from __future__ import annotations

import math

from numba import float32

from ...compiled.exponential import exp2
from ...compiled.kernel import Share, always_inlined
from ...compiled.products import multiply, multiply_add
from ...compiled.vectors import load_float, load_int, store_float, take
from .arguments import KEYS, QUERIES
from .blocks import all_in_band, into_lanes, keys_in_band, out_of_lanes
from .job import COUNTER, floats, ints, read, scratch_of
from .masked_products import add_over_keys, all_finite
from .masks import ALL_HIDDEN, NOTHING_HIDDEN, apply_mask, read_mask
from .softmax import (
    LN_2,
    LOG2_E,
    LOWEST,
    MASKED,
    cap,
    drop,
    exponentials,
    mask_by_band,
    new_maximum,
    subtract_alibi,
)


def room(d: int, d_v: int) -> int:
    """How many bytes of scratch memory a thread needs."""
    return 4 * QUERIES * (d + d_v + 2 * KEYS + 5)


@Share
def forward(index, job):  # type: ignore[no-untyped-def]
    """Take blocks of queries from the counter until there are none left; several threads may be at it at once.

    Blocks are in order of heads, so that a head's keys and values stay in the cache, and within a head from the last to the
    first: with a causal mask the last is the longest, and short ones at the end balance the threads.

    Args:
        index: of the scratch memory that nobody else uses.
        job: address of what `packed` has packed, without numbers of its own; `room(d, d_v)` bytes of scratch memory.
    """
    common = read(job)
    task, counter = common.task, job + COUNTER
    scratch = scratch_of(common, index)
    blocks = (task.queries + QUERIES - 1) // QUERIES
    heads = task.batch * task.heads
    item = take(counter)
    while item < blocks * heads:
        i0 = (blocks - 1 - item % blocks) * QUERIES
        bh = item // blocks
        b, h = bh // task.heads, bh % task.heads
        for careful in (False, True):
            if _block(common, scratch, b, h, i0, min(QUERIES, task.queries - i0), careful):
                break
        item = take(counter)


@always_inlined
def _block(common, scratch, b, h, i0, count, careful):  # type: ignore[no-untyped-def]
    """False where it must be repeated with `careful`, as a masked NaN may have leaked."""
    q, k, v, o, mask, task, extras = (
        common.q,
        common.k,
        common.v,
        common.o,
        common.mask,
        common.task,
        common.extras,
    )
    d, d_v = task.d, task.d_v
    at_Q = scratch
    at_O = at_Q + 4 * d * QUERIES
    at_S = at_O + 4 * d_v * QUERIES
    at_scores = at_S + 4 * KEYS * QUERIES
    rest = at_scores + 4 * KEYS * QUERIES
    Ot, S = floats(at_O, d_v * QUERIES), floats(at_S, KEYS * QUERIES)
    scores = floats(
        at_scores, KEYS * QUERIES
    )  # the mask's numbers, then S where it is still needed, being careful
    m, m_new = floats(rest, QUERIES), floats(rest + 4 * QUERIES, QUERIES)
    l, l_new = floats(rest + 8 * QUERIES, QUERIES), floats(rest + 12 * QUERIES, QUERIES)  # noqa: E741
    bits = ints(rest + 16 * QUERIES, QUERIES)
    kv = h // (task.heads // task.kv_heads)
    K = k.address + 4 * (b * k.batch + kv * k.head)
    V = v.address + 4 * (b * v.batch + kv * v.head)
    unit = float32(task.scale / extras.softcap if extras.softcap else task.scale * LOG2_E)
    into_lanes(at_Q, q.address + 4 * (b * q.batch + h * q.head + i0 * q.row), q.row, count, d, unit)
    for n in range(d_v * QUERIES):
        Ot[n] = float32(0.0)
    for i in range(QUERIES):
        m[i], l[i] = MASKED, float32(0.0)
    if extras.row_bits:
        row = (b * task.heads + h) * task.queries + i0
        for i in range(QUERIES):
            bits[i] = load_int(extras.row_bits, row + min(i, count - 1))
    first, end = keys_in_band(task, i0, count)
    masked = mask.kind != 0
    diagonal = i0 + task.shift
    of_mask = mask.address + mask.kind * (b * mask.batch + h * mask.head + i0 * mask.query)
    for j0 in range(first, end, KEYS):
        width = min(KEYS, end - j0)
        hidden = NOTHING_HIDDEN
        if mask.kind:
            hidden = read_mask(at_scores, of_mask + mask.kind * j0 * mask.key, mask, width, count)
            if hidden == ALL_HIDDEN:
                continue
        multiply(at_S, QUERIES, K + 4 * j0 * k.row, k.row, 1, at_Q, QUERIES, width, QUERIES, d)
        if extras.softcap:
            cap(S, width, extras.softcap)
        if extras.slopes:
            slope = load_float(extras.slopes, b * extras.slopes_batch + h)
            subtract_alibi(S, j0, width, diagonal, slope)
        at_edge = not all_in_band(task, i0, count, j0, width)
        if at_edge:
            masked = True
            mask_by_band(S, j0, width, diagonal, task.left, task.right)
        if hidden != NOTHING_HIDDEN:
            apply_mask(S, at_scores, mask.kind, width)
        if careful:
            for n in range(width * QUERIES):
                scores[n] = S[n]
        new_maximum(S, width, m, m_new)
        exponentials(S, width, m_new, l_new)
        for i in range(QUERIES):
            m[i] = exp2(m[i] - m_new[i])  # from here on what the sums so far are worth
            l[i] = l[i] * m[i] + l_new[i]
        for c in range(d_v):
            for i in range(QUERIES):
                Ot[c * QUERIES + i] *= m[i]
        for i in range(QUERIES):
            m[i] = m_new[i]
        if extras.row_bits:
            columns = extras.column_bits + 4 * (b * task.keys + j0)
            drop(S, width, bits, columns, extras.threshold, extras.kept_times)
        V_j = V + 4 * j0 * v.row
        if careful:
            add_over_keys(Ot, V_j, v.row, S, scores, d_v, width)
        else:
            multiply_add(at_O, QUERIES, V_j, 1, v.row, at_S, QUERIES, d_v, QUERIES, width)
    if masked and not careful and not all_finite(Ot, d_v * QUERIES):
        return False
    if extras.sink:
        # ⊕ with (sink, 1, 0): one more logit, which has no value vector.
        s = load_float(extras.sink, h) * LOG2_E
        for i in range(QUERIES):
            m_new[i] = m[i] if not m[i] < LOWEST else LOWEST
            m_new[i] = s if s > m_new[i] else m_new[i]
            m[i] = exp2(m[i] - m_new[i])
            l[i] = l[i] * m[i] + exp2(s - m_new[i])
        for c in range(d_v):
            for i in range(QUERIES):
                Ot[c * QUERIES + i] *= m[i]
        for i in range(QUERIES):
            m[i] = m_new[i]
    at = (b * task.heads + h) * task.queries + i0
    for i in range(count):
        store_float(common.lse, at + i, m[i] * LN_2 + math.log(l[i]) if l[i] != 0 else MASKED)
    for i in range(QUERIES):
        l[i] = float32(1.0) / l[i] if l[i] != 0 else float32(0.0)
    for c in range(d_v):
        for i in range(QUERIES):
            Ot[c * QUERIES + i] *= l[i]
    out_of_lanes(o.address + 4 * (b * o.batch + h * o.head + i0 * o.row), o.row, at_O, count, d_v)
    return True
