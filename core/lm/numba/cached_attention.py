"""Attention of one query for each row over what it has read: its prompt, which a group shares, then its own tokens.

Keys are kept turned, (head_dim, columns), so that a product with them has columns in its lanes and nothing is summed across a
vector. The heads that share keys are rows of one block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import float32, njit

from ...compiled.exponential import exp2
from ...compiled.kernel import inlined
from ...compiled.vectors import LANES, load_float, load_int, register_block, store_float
from .passes import ONE, ZERO, summed

BLOCK = 32
"""Columns at a time; the room for columns is a multiple of it."""
MASKED = float32(float("-inf"))


class Columns(NamedTuple):
    """Keys and values by layer, as addresses of float32, and their sizes.

    Attributes:
        prompt_keys: (layers, prompts, kv_heads, width, prompt_room). prompt_values: (layers, prompts, kv_heads, length, wide).
        keys, values: of the rows' own tokens, (layers, rows, kv_heads, width, room) and (layers, rows, kv_heads, room, wide).
        starts: of int32 (prompts,), the first column of a prompt that is no padding.
        group: rows of each prompt, next to each other.
        width: head_dim. wide: filled up to LANES.
        length: the columns of the prompts. prompt_room, room: filled up to BLOCK.
    """

    prompt_keys: int
    prompt_values: int
    keys: int
    values: int
    starts: int
    prompts: int
    rows: int
    group: int
    kv_heads: int
    width: int
    wide: int
    length: int
    prompt_room: int
    room: int


_largest_in_any_order: Callable[..., Any] = njit(nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})
_set_pair = register_block(2, BLOCK // LANES, accumulate=False)
_set_row = register_block(1, BLOCK // LANES, accumulate=False)
_add_pair = register_block(2, BLOCK // LANES, accumulate=True)
_add_row = register_block(1, BLOCK // LANES, accumulate=True)
_add_narrow_pair = register_block(2, 1, accumulate=True)
_add_narrow_row = register_block(1, 1, accumulate=True)


@inlined
def _scores(s, lds, q, width, keys, ldk, rows, columns):  # type: ignore[no-untyped-def]
    """S (rows, columns) = Q·K, columns a multiple of BLOCK."""
    for n in range(0, columns, BLOCK):
        for i in range(0, rows, 2):
            to, of_q = s + 4 * (i * lds + n), q + 4 * i * width
            if i + 1 < rows:
                _set_pair(to, lds, of_q, width, 1, keys + 4 * n, ldk, width)
            else:
                _set_row(to, lds, of_q, width, 1, keys + 4 * n, ldk, width)


@inlined
def _add_values(o, width, p, ldp, values, rows, columns):  # type: ignore[no-untyped-def]
    """O (rows, width) += P·V, width a multiple of LANES."""
    whole = width // BLOCK * BLOCK
    for i in range(0, rows, 2):
        pair, of_p = i + 1 < rows, p + 4 * i * ldp
        for n in range(0, whole, BLOCK):
            to, v = o + 4 * (i * width + n), values + 4 * n
            if pair:
                _add_pair(to, width, of_p, ldp, 1, v, width, columns)
            else:
                _add_row(to, width, of_p, ldp, 1, v, width, columns)
        for n in range(whole, width, LANES):
            to, v = o + 4 * (i * width + n), values + 4 * n
            if pair:
                _add_narrow_pair(to, width, of_p, ldp, 1, v, width, columns)
            else:
                _add_narrow_row(to, width, of_p, ldp, 1, v, width, columns)


@_largest_in_any_order
def _largest(x, r, count):  # type: ignore[no-untyped-def]
    """The largest of the first numbers of row r; NaN may be passed over, but stays in x."""
    most = MASKED
    for i in range(count):
        most = x[r, i] if x[r, i] > most else most
    return most


@summed
def _exponentials(x, r, count, most):  # type: ignore[no-untyped-def]
    """The first numbers of row r become 2^(x − most); their sum."""
    total = ZERO
    for i in range(count):
        p = exp2(x[r, i] - most)
        x[r, i] = p
        total += p
    return total


@inlined
def append(columns, layer, slot, at, kv):  # type: ignore[no-untyped-def]
    """Keep the keys and values of a row's token number `at`, from address kv on: float32 (2, kv_heads, width)."""
    width, heads = columns.width, columns.kv_heads
    for h in range(heads):
        number = (layer * columns.rows + slot) * heads + h
        keys = columns.keys + 4 * (number * width * columns.room + at)
        values = columns.values + 4 * (number * columns.room + at) * columns.wide
        for c in range(width):
            store_float(keys, c * columns.room, load_float(kv, h * width + c))
            store_float(values, c, load_float(kv, (heads + h) * width + c))


@inlined
def attend(to, r, columns, layer, slot, tokens, q, groups, scores, sums):  # type: ignore[no-untyped-def]
    """to[r] = softmax(q·K)·V of one row over its prompt and its first `tokens` tokens.

    Args:
        q: address of float32 (kv_heads · groups · width,), q times log₂e/√width.
        scores, sums: scratch memory, float32 (groups, prompt_room + room) and (groups, wide).
    """
    prompt, width, wide, length = slot // columns.group, columns.width, columns.wide, columns.length
    start, before, room = load_int(columns.starts, prompt), columns.prompt_room, columns.room
    filled, ld = (tokens + BLOCK - 1) // BLOCK * BLOCK, before + room
    s, o = scores.ctypes.data, sums.ctypes.data
    for h in range(columns.kv_heads):
        of_prompt = (layer * columns.prompts + prompt) * columns.kv_heads + h
        number = (layer * columns.rows + slot) * columns.kv_heads + h
        of_q = q + 4 * h * groups * width
        _scores(
            s, ld, of_q, width, columns.prompt_keys + 4 * of_prompt * width * before, before, groups, before
        )
        _scores(
            s + 4 * before, ld, of_q, width, columns.keys + 4 * number * width * room, room, groups, filled
        )
        for g in range(groups):
            for j in range(start):
                scores[g, j] = MASKED
            for j in range(length, before):
                scores[g, j] = MASKED
            for j in range(before + tokens, before + filled):
                scores[g, j] = MASKED
            over = ONE / _exponentials(scores, g, before + filled, _largest(scores, g, before + filled))
            for j in range(before + filled):
                scores[g, j] *= over
            for c in range(wide):
                sums[g, c] = ZERO
        values = columns.prompt_values + 4 * (of_prompt * length + start) * wide
        _add_values(o, wide, s + 4 * start, ld, values, groups, length - start)
        values = columns.values + 4 * number * room * wide
        _add_values(o, wide, s + 4 * before, ld, values, groups, tokens)
        for g in range(groups):
            for c in range(width):
                to[r, (h * groups + g) * width + c] = sums[g, c]
