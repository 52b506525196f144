"""Few queries beside many keys, as in decoding: keys are cut into parts, which threads share, and the parts are merged.

Of a part one keeps m, ℓ and the unnormalised O; ⊕ merges them as it merges tiles (Dao et al., "Flash-Decoding", 2023).
Parts are of one size and merged in order, so a result does not depend on the number of threads.

Where `forward` has queries in its lanes, here keys are, because a single query would leave all lanes but one idle. The
heads that share keys stand below each other as rows of one block, so that keys and values are read once for all.
"""

from __future__ import annotations

import math

from numba import float32, int32

from ...compiled.exponential import exp2
from ...compiled.kernel import inlined, kernel
from ...compiled.products import multiply, multiply_add
from ...compiled.vectors import LANES, dot_products, load_byte, load_float, store_float, take
from .arguments import QUERIES
from .blocks import all_in_band, copy_rows, into_lanes, keys_in_band
from .instructions import largest_of_row, sum_of_row
from .masked_products import all_finite
from .softmax import LN_2, LOG2_E, LOWEST, MASKED, cap

# ruff: noqa: E741 — O and l are the paper's symbols

QUERIES_AT_MOST, ROWS_AT_MOST = 16, 128
PART = 512
"""Keys of a part: with d = 64 its keys and values, 256 KB, take far longer to read than the part costs besides."""
TILE = QUERIES
"""Keys of a tile."""
ROWS_OF_DOTS = 8
"""Up to so many rows their scores are dot products, beyond it is worth turning keys into lanes."""
ZERO, ONE = float32(0.0), float32(1.0)


def room(rows: int, d: int, d_v_padded: int) -> int:
    """How many numbers of scratch memory a thread needs."""
    return room_of_part(rows, d_v_padded) + rows * (d + 2 * TILE) + TILE * (d + d_v_padded)


def room_of_part(rows: int, d_v_padded: int) -> int:
    """How many numbers are kept of a part: O (rows, d_v padded), m and ℓ (rows,)."""
    return rows * (d_v_padded + 2)


@kernel
def decode(q, k, v, mask, o, lse, task, extras, scale, counter, finished, kept, scratch):  # type: ignore[no-untyped-def]
    """Take parts from `counter` until there are none left; the thread that ends the last part of a head merges them.

    Args:
        q, k, v, mask, o, lse, task, extras, counter, scratch: as in `forward`, without dropout.
        finished: address of int64 (batch · heads of k,), 0 at first.
        kept: float32 (batch · heads of k, parts, `room_of_part(…)`).
    """
    parts = kept.shape[1]
    item = take(counter)
    while item < task.batch * task.kv_heads * parts:
        bh, part = item // parts, item % parts
        b, kv = bh // task.kv_heads, bh % task.kv_heads
        if not _part(q, k, v, mask, kept[bh, part], task, extras, scale, scratch, b, kv, part, False):
            _part(q, k, v, mask, kept[bh, part], task, extras, scale, scratch, b, kv, part, True)
        if take(finished + 8 * bh) == parts - 1:
            _merge(kept[bh], o, lse, task, extras, b, kv)
        item = take(counter)


@inlined
def _part(q, k, v, mask, found, task, extras, scale, scratch, b, kv, part, careful):  # type: ignore[no-untyped-def]
    """False where it must be repeated with `careful`, as a masked NaN may have leaked."""
    d, d_v, groups = task.d, (task.d_v + LANES - 1) // LANES * LANES, task.heads // task.kv_heads
    rows = groups * task.queries
    # In separate memory: a cache line that two threads write to would move between their cores.
    size = rows * (d_v + 2)
    result, rest = scratch[:size], scratch[size:]
    O, m, l = result[: rows * d_v], result[rows * d_v : rows * (d_v + 1)], result[rows * (d_v + 1) :]
    Q, rest = rest[: rows * d], rest[rows * d :]
    Kt, rest = rest[: d * TILE], rest[d * TILE :]
    padded, rest = rest[: d_v * TILE], rest[d_v * TILE :]
    S, scores = rest[: rows * TILE], rest[rows * TILE : 2 * rows * TILE]
    unit = float32(scale / extras.softcap if extras.softcap else scale * LOG2_E)
    for row in range(rows):
        h, i = kv * groups + row // task.queries, row % task.queries
        of_q = q.address + 4 * (b * q.batch + h * q.head + i * q.row)
        for c in range(d):
            Q[row * d + c] = unit * load_float(of_q, c)
    O[:] = ZERO
    m[:] = MASKED
    l[:] = ZERO
    first, end = keys_in_band(task, 0, task.queries)
    first, end = max(first, part * PART), min(end, (part + 1) * PART)
    masked = mask.kind != 0
    for j0 in range(first, end, TILE):
        width = min(TILE, end - j0)
        K_j = k.address + 4 * (b * k.batch + kv * k.head + j0 * k.row)
        if rows <= ROWS_OF_DOTS and width == TILE and d % LANES == 0:
            for j in range(0, TILE, LANES):
                for row in range(rows):
                    to = S.ctypes.data + 4 * (row * TILE + j)
                    dot_products(to, Q.ctypes.data + 4 * row * d, K_j + 4 * j * k.row, k.row, d // LANES)
        else:
            into_lanes(Kt, K_j, k.row, width, d, ONE)
            multiply(S.ctypes.data, TILE, Q.ctypes.data, d, 1, Kt.ctypes.data, TILE, rows, TILE, d)
        if extras.softcap:
            cap(S, rows, extras.softcap)
        masked = masked or not all_in_band(task, 0, task.queries, j0, width)
        for row in range(rows):
            h, i = kv * groups + row // task.queries, row % task.queries
            _alibi_and_band(S, row * TILE, j0, width, i + task.shift, task, extras, b, h)
            if mask.kind:
                at = b * mask.batch + h * mask.head + i * mask.query + j0 * mask.key
                _apply_mask(S, row * TILE, width, mask, at)
        if careful:
            scores[: rows * TILE] = S[: rows * TILE]
        for row in range(rows):
            s = S.ctypes.data + 4 * row * TILE
            largest, m_new = largest_of_row(s), m[row] if m[row] > LOWEST else LOWEST
            m_new = largest if largest > m_new else m_new
            for n in range(row * TILE, (row + 1) * TILE):
                S[n] = exp2(S[n] - m_new)
            worth = exp2(m[row] - m_new)
            l[row] = l[row] * worth + sum_of_row(s)
            m[row] = m_new
            if worth != ONE:
                for n in range(row * d_v, (row + 1) * d_v):
                    O[n] *= worth
        V_j, v_row = v.address + 4 * (b * v.batch + kv * v.head + j0 * v.row), v.row
        if careful:
            _add_over_keys(O, S, scores, V_j, v_row, rows, width, task.d_v, d_v)
            continue
        if d_v != task.d_v:
            copy_rows(padded, V_j, v_row, width, task.d_v, d_v)
            V_j, v_row = padded.ctypes.data, d_v
        multiply_add(O.ctypes.data, d_v, S.ctypes.data, TILE, 1, V_j, v_row, rows, d_v, width)
    found[:] = result
    return careful or not masked or all_finite(O, rows * d_v)


@inlined
def _alibi_and_band(S, at, j0, width, diagonal, task, extras, b, h):  # type: ignore[no-untyped-def]
    """ALiBi, then −∞ outside the band and beyond the tile, for the query beside key `diagonal`; its row begins at `at`."""
    if extras.slopes:
        slope = float32(load_float(extras.slopes, b * extras.slopes_batch + h) * LOG2_E)
        nearest = int32(j0 - diagonal)
        for j in range(TILE):
            S[at + j] -= slope * float32(abs(nearest + int32(j)))
    low, high = diagonal - task.left - j0, min(diagonal + task.right - j0, width - 1)
    if low > 0 or high < TILE - 1:
        for j in range(TILE):
            if j < low or j > high:
                S[at + j] = MASKED


@inlined
def _apply_mask(S, at, width, mask, first):  # type: ignore[no-untyped-def]
    """Apply the mask to a row of scores; `first` is the offset of the mask of the first of them."""
    for j in range(width):
        if mask.kind == 1:
            if load_byte(mask.address, first + j * mask.key) == 0:
                S[at + j] = MASKED
        else:
            added = load_float(mask.address, first + j * mask.key)
            S[at + j] = MASKED if added == MASKED else S[at + j] + max(LOG2_E * added, LOWEST)


@inlined
def _add_over_keys(O, P, S, address, row, rows, width, d_v, padded):  # type: ignore[no-untyped-def]
    """O (rows, padded) += P·V, without the masked pairs."""
    for r in range(rows):
        for j in range(width):
            if S[r * TILE + j] != MASKED:
                for c in range(d_v):
                    O[r * padded + c] += P[r * TILE + j] * load_float(address, j * row + c)


@inlined
def _merge(kept, o, lse, task, extras, b, kv):  # type: ignore[no-untyped-def]
    """⊕ of all parts of a head of k and of the sink."""
    parts, d_v, groups = kept.shape[0], (task.d_v + LANES - 1) // LANES * LANES, task.heads // task.kv_heads
    rows = groups * task.queries
    for row in range(rows):
        h, i = kv * groups + row // task.queries, row % task.queries
        at_m, at_l = rows * d_v + row, rows * (d_v + 1) + row
        s = float32(load_float(extras.sink, h) * LOG2_E) if extras.sink else MASKED
        m = s if s > LOWEST else LOWEST
        for part in range(parts):
            m = kept[part, at_m] if kept[part, at_m] > m else m
        l = exp2(s - m)
        O = kept[0, row * d_v : (row + 1) * d_v]
        for part in range(parts):
            weight = exp2(kept[part, at_m] - m)
            l += kept[part, at_l] * weight
            if part == 0:
                for c in range(d_v):
                    O[c] *= weight
            else:
                for c in range(d_v):
                    O[c] += weight * kept[part, row * d_v + c]
        store_float(
            lse, (b * task.heads + h) * task.queries + i, m * LN_2 + math.log(l) if l != 0 else MASKED
        )
        over = ONE / l if l != 0 else ZERO
        to = o.address + 4 * (b * o.batch + h * o.head + i * o.row)
        for c in range(task.d_v):
            store_float(to, c, O[c] * over)
