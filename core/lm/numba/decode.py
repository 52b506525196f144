"""The next token of many rows: through all layers of `model.Transformer` in one call, then the draw.

The rows go through in blocks that stay in the second cache, each through all layers; the weights, packed once, follow each
other as they are needed. Rows that have ended are left out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba import float32

from ...compiled.kernel import kernel
from ...compiled.products import pack, packed_size, product
from .cached_attention import append, attend
from .draw import draw
from .passes import LOG2_E, ONE, normed, rotate, swiglu

ROWS_AT_ONCE = 96
"""At most so many rows of a block."""


class Weights(NamedTuple):
    """A model's weights and its sizes. Matrices are packed, (layers, `packed_size`); gains are (layers, d_model), `norm` (1, d_model)."""

    before_attention: Any
    qkv: Any
    project: Any
    before_gate: Any
    gate_up: Any
    down: Any
    norm: Any
    head: Any
    embedding: Any
    rotations: Any
    heads: int
    kv_heads: int
    d_ff: int


class Scratch(NamedTuple):
    """Memory of one thread: float32 (ROWS_AT_ONCE, width) of each of these widths, and that of `cached_attention.attend`.

    Attributes:
        x, normed: d_model. wide: that of queries, keys and values, or of gate and up. gated: d_ff.
    """

    x: Any
    normed: Any
    wide: Any
    gated: Any
    scores: Any
    sums: Any


class Sampled(NamedTuple):
    """What `Completions` are made of, (rows, …); `ends` are the tokens that end one."""

    ids: Any
    log_probs: Any
    entropies: Any
    lengths: Any
    ended: Any
    ends: Any


@kernel
def pack_weight(to, weight):  # type: ignore[no-untyped-def]
    """`to`, `size_of` numbers, becomes a weight (outputs, inputs) as `product` wants it."""
    N, K = weight.shape
    pack(to.ctypes.data, weight.ctypes.data, 1, K, N, K)


@kernel
def size_of(outputs, inputs):  # type: ignore[no-untyped-def]
    """Numbers of a packed weight (outputs, inputs)."""
    return packed_size(outputs, inputs)


@kernel
def draw_tokens(sampled, going, of_noise, count, step, logits, noise, temperature):  # type: ignore[no-untyped-def]
    """Draw token number `step` of the rows that go on.

    Args:
        going: int64, the numbers of these rows, `count` of them; becomes those that go on after it.
        of_noise: int64, the row of noise of each of them; goes with them.
        logits: float32 (rows, vocabulary) of the rows in `going`; overwritten.
        noise: float32 (…, vocabulary), as in `draw`; not read with temperature 0.
    Returns: how many rows go on.
    """
    left = 0
    for r in range(count):
        slot = going[r]
        token, log_prob, entropy = draw(logits, r, temperature, noise, of_noise[r])
        sampled.ids[slot, step] = token
        sampled.log_probs[slot, step] = log_prob
        sampled.entropies[slot, step] = entropy
        sampled.lengths[slot] = step + 1
        for e in range(len(sampled.ends)):
            if token == sampled.ends[e]:
                sampled.ended[slot] = True
        if not sampled.ended[slot]:
            going[left], of_noise[left] = slot, of_noise[r]
            left += 1
    return left


@kernel
def next_logits(weights, columns, scratch, ids, going, count, step, logits):  # type: ignore[no-untyped-def]
    """Logits (rows, vocabulary) of token number `step`, which follows ids[:, step − 1], of the first rows in `going`."""
    vocabulary, d = weights.embedding.shape
    heads, kv_heads, d_ff, width = weights.heads, weights.kv_heads, weights.d_ff, columns.width
    x, normal, wide, gated = scratch.x, scratch.normed, scratch.wide, scratch.gated
    row_of_wide, all_heads, groups = wide.shape[1], (heads + 2 * kv_heads) * width, heads // kv_heads
    to_x, to_normal, to_wide, to_gated = (
        x.ctypes.data,
        normal.ctypes.data,
        wide.ctypes.data,
        gated.ctypes.data,
    )
    column, unit = columns.length + step - 1, float32(LOG2_E / math.sqrt(width))
    rotation = weights.rotations.ctypes.data + 4 * column * width
    add, one = step > 0, min(1, d)  # constants here would compile `product` once for each
    blocks = (count + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE
    for block in range(blocks):
        first = count * block // blocks
        rows = count * (block + 1) // blocks - first
        for r in range(rows):
            token = ids[going[first + r], step - 1]
            for i in range(d):
                x[r, i] = weights.embedding[token, i]
        for layer in range(weights.qkv.shape[0]):
            normed(normal, x, weights.before_attention, layer, rows, d)
            qkv = weights.qkv.ctypes.data + 4 * layer * weights.qkv.shape[1]
            product(to_wide, row_of_wide, to_normal, d, one, qkv, rows, all_heads, d, not add)
            for r in range(rows):
                q = to_wide + 4 * r * row_of_wide
                rotate(q, heads, width, rotation, unit)
                rotate(q + 4 * d, kv_heads, width, rotation, ONE)
                slot = going[first + r]
                append(columns, layer, slot, step - 1, q + 4 * d)
                attend(normal, r, columns, layer, slot, step, q, groups, scratch.scores, scratch.sums)
            project = weights.project.ctypes.data + 4 * layer * weights.project.shape[1]
            product(to_x, d, to_normal, d, one, project, rows, d, d, add)
            normed(normal, x, weights.before_gate, layer, rows, d)
            gate_up = weights.gate_up.ctypes.data + 4 * layer * weights.gate_up.shape[1]
            product(to_wide, row_of_wide, to_normal, d, one, gate_up, rows, 2 * d_ff, d, not add)
            swiglu(gated, wide, rows, d_ff)
            down = weights.down.ctypes.data + 4 * layer * weights.down.shape[1]
            product(to_x, d, to_gated, d_ff, one, down, rows, d, d_ff, add)
        normed(normal, x, weights.norm, 0, rows, d)
        to, head = logits.ctypes.data + 4 * first * vocabulary, weights.head.ctypes.data
        product(to, vocabulary, to_normal, d, one, head, rows, vocabulary, d, not add)
