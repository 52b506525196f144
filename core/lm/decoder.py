"""Sampling from `model.Transformer` by the compiled step of `numba/decode`, where it can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import Cache
from .model import Block, Transformer

if TYPE_CHECKING:
    from .numba.cached_attention import Columns
    from .numba.decode import Scratch, Weights


def weights_for_decoding(model: object) -> Weights | None:
    """The model's weights as the compiled step wants them, packed; None where PyTorch's operations are to sample.

    It turns queries and keys, and adds nothing: an encoding of positions that adds is left to PyTorch.
    """
    if not isinstance(model, Transformer) or not model.may_be_compiled():
        return None
    if model.encoding.added is not None or model.scores_by_distance(1) is not None:
        return None
    from .numba.decode import Weights, pack_weight, size_of

    blocks: list[Block] = list(model.blocks)  # type: ignore[arg-type]

    def packed(*matrices: Tensor) -> np.ndarray:
        found = np.empty((len(matrices), size_of(*matrices[0].shape)), np.float32)
        for to, matrix in zip(found, matrices, strict=True):
            pack_weight(to, _array(matrix))
        return found

    return Weights(
        _array(torch.stack([block.before_attention.weight for block in blocks])),
        packed(*(block.qkv.weight for block in blocks)),
        packed(*(block.project.weight for block in blocks)),
        _array(torch.stack([block.before_gate.weight for block in blocks])),
        packed(*(block.gate_up.weight for block in blocks)),
        packed(*(block.down.weight for block in blocks)),
        _array(model.norm.weight[None]),
        packed(model.head.weight),
        _array(model.embedding.weight),
        _array(torch.view_as_real(model.rotations[:, 0])),
        model.config.heads,
        model.config.kv_heads,
        model.config.d_ff,
    )


def _array(x: Tensor) -> np.ndarray:
    found: np.ndarray = x.detach().contiguous().numpy()
    return found


def sampled_compiled(
    weights: Weights,
    cache: Cache,
    logits: Tensor,
    num_generations: int,
    max_new_tokens: int,
    eos: Sequence[int],
    pad: int,
    temperature: float,
    generator: torch.Generator | None,
    compact_below: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `generation._sampled`; it draws the same noise and so the same tokens, but for ties of rounding.

    Args:
        weights: of `weights_for_decoding`. cache, logits: of the prompts, (prompts, vocabulary), once for their groups.
        compact_below: noise is drawn for the finished rows too, until so few are left; they are not computed.
    """
    from .numba.decode import Sampled, draw_tokens, next_logits

    rows = logits.shape[0] * num_generations
    logits = logits.repeat_interleave(num_generations, 0).contiguous()
    ids = logits.new_full((rows, max_new_tokens), pad, dtype=torch.int64)
    log_probs, entropies = logits.new_zeros(2, rows, max_new_tokens)
    lengths, ended = (logits.new_zeros(rows, dtype=dtype) for dtype in (torch.int64, torch.bool))
    made = (ids, log_probs, entropies, lengths, ended)
    sampled = Sampled._make([*(x.numpy() for x in made), np.array(eos, np.int64)])
    columns, _owned = _columns(cache, num_generations, max_new_tokens)
    scratch, of_logits = _scratch(weights, columns), logits.numpy()
    going, of_noise = np.arange(rows), np.arange(rows)
    left, drawn, cooled = rows, rows, np.float32(temperature)
    noise = logits.new_empty(1, logits.shape[1])
    for step in range(max_new_tokens):
        if temperature:
            noise = logits.new_empty(drawn, logits.shape[1]).exponential_(generator=generator).log_()
        if step:
            next_logits(weights, columns, scratch, sampled.ids, going, left, step, of_logits)
        left = draw_tokens(sampled, going, of_noise, left, step, of_logits, noise.numpy(), cooled)
        if left == 0:
            break
        if left < compact_below * drawn:
            of_noise[:left], drawn = np.arange(left), left
    return made


def _columns(cache: Cache, num_generations: int, max_new_tokens: int) -> tuple[Columns, list[np.ndarray]]:
    """The prompts' keys, turned, and values, and room for those of each completion; and the memory that all this is in.

    The room is NumPy's, which asks for huge pages: with small ones a row's keys and values cost more to find than to read.
    """
    from ..compiled.vectors import LANES
    from .numba.cached_attention import BLOCK, Columns

    layers, prompts, heads, length, width = cache.keys.shape
    prompt_room, room, wide = (
        -(-n // of) * of for n, of in ((length, BLOCK), (max_new_tokens, BLOCK), (width, LANES))
    )
    rows = prompts * num_generations
    starts = cache.keys.new_zeros(prompts) if cache.starts is None else cache.starts
    owned = [
        F.pad(cache.keys.transpose(-1, -2), (0, prompt_room - length)).contiguous().numpy(),
        F.pad(cache.values, (0, wide - width)).contiguous().numpy(),
        np.empty((layers, rows, heads, width, room), np.float32),
        np.empty((layers, rows, heads, room, wide), np.float32),
        starts.to(torch.int32).numpy(),
    ]
    sizes = (prompts, rows, num_generations, heads, width, wide, length, prompt_room, room)
    return Columns._make([*(x.ctypes.data for x in owned), *sizes]), owned


def _scratch(weights: Weights, columns: Columns) -> Scratch:
    from .numba.decode import ROWS_AT_ONCE, Scratch

    d, groups = weights.embedding.shape[1], weights.heads // weights.kv_heads
    all_heads = (weights.heads + 2 * weights.kv_heads) * columns.width
    of_rows = ((ROWS_AT_ONCE, n) for n in (d, d, max(all_heads, 2 * weights.d_ff), weights.d_ff))
    of_scores = ((groups, columns.prompt_room + columns.room), (groups, columns.wide))
    return Scratch(*(np.empty(shape, np.float32) for shape in (*of_rows, *of_scores)))
