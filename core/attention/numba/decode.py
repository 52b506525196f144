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
from ...compiled.kernel import Share, always_inlined, inlined
from ...compiled.products import FEWER, multiply, multiply_add
from ...compiled.vectors import (
    LANES,
    dot_products,
    load_byte,
    load_float,
    load_long,
    register_block,
    store_float,
    take,
)
from .arguments import QUERIES
from .blocks import all_in_band, copy_rows, into_lanes, keys_in_band
from .instructions import largest_of_row, sum_of_row
from .job import COUNTER, OWN, floats, octets, read, scratch_of
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
AT_ONCE = 64
"""Numbers of a row that are summed at once, in four or more vectors, which need not wait for each other."""
_add_long_row = register_block(1, AT_ONCE // LANES, accumulate=True)
ZERO, ONE = float32(0.0), float32(1.0)


def room(rows: int, d: int, d_v_padded: int) -> int:
    """How many bytes of scratch memory a thread needs."""
    return 4 * (room_of_part(rows, d_v_padded) + rows * (d + 2 * TILE) + TILE * (d + d_v_padded))


def room_of_part(rows: int, d_v_padded: int) -> int:
    """How many numbers are kept of a part: O (rows, d_v padded), m and ℓ (rows,)."""
    return rows * (d_v_padded + 2)


@Share
def decode(index, job):  # type: ignore[no-untyped-def]
    """Take parts from the counter until there are none left; the thread that ends the last part of a head merges them.

    Args:
        index: of the scratch memory that nobody else uses.
        job: address of what `packed` has packed, without dropout, with `room(…)` bytes of scratch memory for each thread, for
            all of them float32 (batch · heads of k, parts, `room_of_part(…)`), and these numbers: the parts of a head; 0 for
            each of batch · heads of k, which becomes how many of its parts are finished.
    """
    common = read(job)
    task, counter = common.task, job + COUNTER
    parts, kept, finished = load_long(job, OWN), common.shared, job + 8 * (OWN + 1)
    scratch = scratch_of(common, index)
    size = task.heads // task.kv_heads * task.queries * (_padded(task.d_v) + 2)
    item = take(counter)
    while item < task.batch * task.kv_heads * parts:
        bh, part = item // parts, item % parts
        b, kv = bh // task.kv_heads, bh % task.kv_heads
        for careful in (False, True):
            if _part(common, floats(kept + 4 * size * item, size), scratch, b, kv, part, careful):
                break
        if take(finished + 8 * bh) == parts - 1:
            _merge(floats(kept + 4 * size * parts * bh, size * parts), size, parts, common, b, kv)
        item = take(counter)


@inlined
def _padded(d_v):  # type: ignore[no-untyped-def]
    return (d_v + LANES - 1) // LANES * LANES


@always_inlined
def _part(common, found, scratch, b, kv, part, careful):  # type: ignore[no-untyped-def]
    """False where it must be repeated with `careful`, as a masked NaN may have leaked."""
    q, k, v, mask, task, extras = common.q, common.k, common.v, common.mask, common.task, common.extras
    d, d_v, groups = task.d, _padded(task.d_v), task.heads // task.kv_heads
    rows = groups * task.queries
    # In separate memory: a cache line that two threads write to would move between their cores.
    at_O = scratch
    at_m = at_O + 4 * rows * d_v
    at_l = at_m + 4 * rows
    Q = at_l + 4 * rows
    Kt = Q + 4 * rows * d
    turned_V = Kt + 4 * d * TILE
    at_S = turned_V + 4 * d_v * TILE
    O, m, l = floats(at_O, rows * d_v), floats(at_m, rows), floats(at_l, rows)
    S, scores = floats(at_S, rows * TILE), floats(at_S + 4 * rows * TILE, rows * TILE)
    unit = float32(task.scale / extras.softcap if extras.softcap else task.scale * LOG2_E)
    for row in range(rows):
        h, i = kv * groups + row // task.queries, row % task.queries
        of_q = q.address + 4 * (b * q.batch + h * q.head + i * q.row)
        for c in range(d):
            store_float(Q, row * d + c, unit * load_float(of_q, c))
        m[row], l[row] = MASKED, ZERO
    for n in range(rows * d_v):
        O[n] = ZERO
    first, end = keys_in_band(task, 0, task.queries)
    first, end = max(first, part * PART), min(end, (part + 1) * PART)
    masked = mask.kind != 0
    for j0 in range(first, end, TILE):
        width = min(TILE, end - j0)
        K_j = k.address + 4 * (b * k.batch + kv * k.head + j0 * k.row)
        V_j, v_row = v.address + 4 * (b * v.batch + kv * v.head + j0 * v.row), v.row
        if mask.kind == 1 and not _shows_any(mask, rows, width, b, kv * groups, j0, task.queries):
            continue
        if rows <= ROWS_OF_DOTS and width == TILE and d % LANES == 0:
            for j in range(0, TILE, LANES):
                for row in range(rows):
                    to = at_S + 4 * (row * TILE + j)
                    dot_products(to, Q + 4 * row * d, K_j + 4 * j * k.row, k.row, d // LANES)
        else:
            into_lanes(Kt, K_j, k.row, width, d, ONE)
            multiply(at_S, TILE, Q, d, 1, Kt, TILE, rows, TILE, d)
        if extras.softcap:
            cap(S, rows, extras.softcap)
        masked = masked or not all_in_band(task, 0, task.queries, j0, width)
        for row in range(rows):
            h, i = kv * groups + row // task.queries, row % task.queries
            _alibi_and_band(S, row * TILE, j0, width, i + task.shift, task, extras, b, h)
            if mask.kind:
                at = b * mask.batch + h * mask.head + i * mask.query + j0 * mask.key
                _apply_mask(S, row * TILE, width, mask, mask.address + mask.kind * at)
        if careful:
            for n in range(rows * TILE):
                scores[n] = S[n]
        for row in range(rows):
            s = at_S + 4 * row * TILE
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
        if careful:
            _add_over_keys(O, S, scores, V_j, v_row, rows, width, task.d_v, d_v)
            continue
        if d_v != task.d_v:
            copy_rows(turned_V, V_j, v_row, width, task.d_v, d_v)
            V_j, v_row = turned_V, d_v
        _weigh(at_O, d_v, at_S, V_j, v_row, rows, width)
    for n in range(rows * (d_v + 2)):
        found[n] = load_float(at_O, n)
    return careful or not masked or all_finite(O, rows * d_v)


@inlined
def _weigh(O, d_v, P, V, v_row, rows, width):  # type: ignore[no-untyped-def]
    """O (rows, d_v) += P·V. Of few rows each goes over many columns at once, so that V is read in order."""
    c = 0
    if rows < FEWER:
        while c + AT_ONCE <= d_v:
            for row in range(rows):
                _add_long_row(
                    O + 4 * (row * d_v + c), d_v, P + 4 * row * TILE, TILE, 1, V + 4 * c, v_row, width
                )
            c += AT_ONCE
    if c < d_v:
        multiply_add(O + 4 * c, d_v, P, TILE, 1, V + 4 * c, v_row, rows, d_v - c, width)


@inlined
def _shows_any(mask, rows, width, b, first_head, j0, queries):  # type: ignore[no-untyped-def]
    """Whether a boolean mask lets any row see any key of the tile."""
    for row in range(rows):
        h, i = first_head + row // queries, row % queries
        at = mask.address + b * mask.batch + h * mask.head + i * mask.query + j0 * mask.key
        for j in range(width):
            if load_byte(at, j * mask.key) != 0:
                return True
    return False


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
def _apply_mask(S, at, width, mask, address):  # type: ignore[no-untyped-def]
    """Apply the mask to a row of scores; `address` is that of the mask of the first of them."""
    if mask.kind == 1 and mask.key == 1:
        M = octets(address, width)
        for j in range(width):
            S[at + j] = MASKED if M[j] == 0 else S[at + j]
    elif mask.kind == 1:
        for j in range(width):
            if load_byte(address, j * mask.key) == 0:
                S[at + j] = MASKED
    else:
        for j in range(width):
            added = load_float(address, j * mask.key)
            S[at + j] = MASKED if added == MASKED else S[at + j] + max(LOG2_E * added, LOWEST)


@inlined
def _add_over_keys(O, P, S, address, row, rows, width, d_v, padded):  # type: ignore[no-untyped-def]
    """O (rows, padded) += P·V, without the masked pairs."""
    for r in range(rows):
        for j in range(width):
            if S[r * TILE + j] != MASKED:
                for c in range(d_v):
                    O[r * padded + c] += P[r * TILE + j] * load_float(address, j * row + c)


@always_inlined
def _merge(kept, size, parts, common, b, kv):  # type: ignore[no-untyped-def]
    """⊕ of all parts of a head of k, each of so many numbers, and of the sink."""
    o, task, extras = common.o, common.task, common.extras
    d_v, groups = _padded(task.d_v), task.heads // task.kv_heads
    rows = groups * task.queries
    for row in range(rows):
        h, i = kv * groups + row // task.queries, row % task.queries
        at_m, at_l = rows * d_v + row, rows * (d_v + 1) + row
        s = float32(load_float(extras.sink, h) * LOG2_E) if extras.sink else MASKED
        m = s if s > LOWEST else LOWEST
        for part in range(parts):
            m = kept[part * size + at_m] if kept[part * size + at_m] > m else m
        l = exp2(s - m)
        for part in range(parts):
            weight = exp2(kept[part * size + at_m] - m)
            l += kept[part * size + at_l] * weight
            of_part = part * size + row * d_v
            if part == 0:
                for c in range(d_v):
                    kept[row * d_v + c] *= weight
            else:
                for c in range(d_v):
                    kept[row * d_v + c] += weight * kept[of_part + c]
        lse = m * LN_2 + math.log(l) if l != 0 else MASKED
        store_float(common.lse, (b * task.heads + h) * task.queries + i, lse)
        over = ONE / l if l != 0 else ZERO
        to = o.address + 4 * (b * o.batch + h * o.head + i * o.row)
        for c in range(task.d_v):
            store_float(to, c, kept[row * d_v + c] * over)
