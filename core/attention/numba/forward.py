"""Algorithm 1 of FlashAttention-2 (Dao, arXiv:2307.08691), for one block of queries after the other."""

from __future__ import annotations

import math

from numba import float32

from ...compiled.exponential import exp2
from ...compiled.kernel import inlined, kernel
from ...compiled.products import multiply, multiply_add
from ...compiled.vectors import load_float, load_int, store_float, take
from .arguments import KEYS, QUERIES
from .blocks import all_in_band, into_lanes, keys_in_band, out_of_lanes
from .masked_products import add_over_keys, all_finite
from .softmax import (
    LN_2,
    LOG2_E,
    LOWEST,
    MASKED,
    apply_mask,
    cap,
    drop,
    exponentials,
    mask_by_band,
    new_maximum,
    subtract_alibi,
)


def room(d: int, d_v: int) -> int:
    """How many numbers of scratch memory a thread needs."""
    return QUERIES * (d + d_v + 2 * KEYS + 4)


@kernel
def forward(q, k, v, mask, o, lse, task, extras, scale, counter, scratch, bits):  # type: ignore[no-untyped-def]
    """Take blocks from `counter` until there are none left; several threads may be at it at once.

    Blocks are in order of heads, so that a head's keys and values stay in the cache, and within a head from the last to the
    first: with a causal mask the last is the longest, and short ones at the end balance the threads.

    Args:
        q, k, v, o: `Rows`.
        mask: `Mask`.
        lse: address of (batch, heads, queries) float32.
        task, extras: `Task`, `Extras`.
        counter: address of an int64, 0 at first.
        scratch: float32 (`room(d, d_v)`,), of this thread alone.
        bits: int32 (QUERIES,), of this thread alone.
    """
    blocks = (task.queries + QUERIES - 1) // QUERIES
    heads = task.batch * task.heads
    item = take(counter)
    while item < blocks * heads:
        i0 = (blocks - 1 - item % blocks) * QUERIES
        bh = item // blocks
        b, h = bh // task.heads, bh % task.heads
        count = min(QUERIES, task.queries - i0)
        if not _block(q, k, v, mask, o, lse, task, extras, scale, scratch, bits, b, h, i0, count, False):
            _block(q, k, v, mask, o, lse, task, extras, scale, scratch, bits, b, h, i0, count, True)
        item = take(counter)


@inlined
def _block(q, k, v, mask, o, lse, task, extras, scale, scratch, bits, b, h, i0, count, careful):  # type: ignore[no-untyped-def]
    """False where it must be repeated with `careful`, as a masked NaN may have leaked."""
    d, d_v = task.d, task.d_v
    Qt, rest = scratch[: d * QUERIES], scratch[d * QUERIES :]
    Ot, rest = rest[: d_v * QUERIES], rest[d_v * QUERIES :]
    S, rest = rest[: KEYS * QUERIES], rest[KEYS * QUERIES :]
    scores, rest = rest[: KEYS * QUERIES], rest[KEYS * QUERIES :]  # S where it is still needed, being careful
    m, m_new = rest[:QUERIES], rest[QUERIES : 2 * QUERIES]
    l, l_new = rest[2 * QUERIES : 3 * QUERIES], rest[3 * QUERIES : 4 * QUERIES]  # noqa: E741
    kv = h // (task.heads // task.kv_heads)
    K = k.address + 4 * (b * k.batch + kv * k.head)
    V = v.address + 4 * (b * v.batch + kv * v.head)
    unit = float32(scale / extras.softcap if extras.softcap else scale * LOG2_E)
    into_lanes(Qt, q.address + 4 * (b * q.batch + h * q.head + i0 * q.row), q.row, count, d, unit)
    Ot[:] = float32(0.0)
    m[:] = MASKED
    l[:] = float32(0.0)
    if extras.row_bits:
        row = (b * task.heads + h) * task.queries + i0
        for i in range(QUERIES):
            bits[i] = load_int(extras.row_bits, row + min(i, count - 1))
    first, end = keys_in_band(task, i0, count)
    masked = mask.kind != 0
    diagonal = i0 + task.shift
    for j0 in range(first, end, KEYS):
        width = min(KEYS, end - j0)
        multiply(
            S.ctypes.data, QUERIES, K + 4 * j0 * k.row, k.row, 1, Qt.ctypes.data, QUERIES, width, QUERIES, d
        )
        if extras.softcap:
            cap(S, width, extras.softcap)
        if extras.slopes:
            slope = load_float(extras.slopes, b * extras.slopes_batch + h)
            subtract_alibi(S, j0, width, diagonal, slope)
        at_edge = not all_in_band(task, i0, count, j0, width)
        if at_edge:
            masked = True
            mask_by_band(S, j0, width, diagonal, task.left, task.right)
        if mask.kind:
            apply_mask(S, j0, width, i0, count, mask, b, h)
        if careful:
            scores[: width * QUERIES] = S[: width * QUERIES]
        new_maximum(S, width, m, m_new)
        exponentials(S, width, m_new, l_new)
        for i in range(QUERIES):
            m[i] = exp2(m[i] - m_new[i])  # from here on what the sums so far are worth
            l[i] = l[i] * m[i] + l_new[i]
        for c in range(d_v):
            for i in range(QUERIES):
                Ot[c * QUERIES + i] *= m[i]
        m[:] = m_new
        if extras.row_bits:
            columns = extras.column_bits + 4 * (b * task.keys + j0)
            drop(S, width, bits, columns, extras.threshold, extras.kept_times)
        V_j = V + 4 * j0 * v.row
        if careful:
            add_over_keys(Ot, V_j, v.row, S, scores, d_v, width)
        else:
            multiply_add(Ot.ctypes.data, QUERIES, V_j, 1, v.row, S.ctypes.data, QUERIES, d_v, QUERIES, width)
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
        m[:] = m_new
    at = (b * task.heads + h) * task.queries + i0
    for i in range(count):
        store_float(lse, at + i, m[i] * LN_2 + math.log(l[i]) if l[i] != 0 else MASKED)
    for i in range(QUERIES):
        l[i] = float32(1.0) / l[i] if l[i] != 0 else float32(0.0)
    for c in range(d_v):
        for i in range(QUERIES):
            Ot[c * QUERIES + i] *= l[i]
    out_of_lanes(o.address + 4 * (b * o.batch + h * o.head + i0 * o.row), o.row, Ot, count, d_v)
    return True
