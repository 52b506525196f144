"""A transformer's blocks, from embeddings to normed states, as one function with its gradient by hand. For the CPU.

Autograd would do some twenty operations for each block, each with its result in fresh memory. Here there are products, and
compiled passes between them over a few hundred tokens at a time, which are still in the cache. Of each token and block are
kept: the stream before attention and before the gated layer, queries, keys and values, what attention found, gate and up.
Normed rows and the gated product are computed once more in the backward pass.

`model.Block` says the same in PyTorch operations, for other devices and dtypes and for reading.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .packed import Packed
from .parallel import cores, each
from .products import product
from .workspace import Workspace

ROWS = 768
"""Tokens at a time: products of fewer rows are slower, and the rows of more do not stay in the second cache."""
WORTH_A_THREAD = 128
"""Tokens, a small model's in some milliseconds."""
EPSILON = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Shape:
    """Of each block."""

    d_model: int
    heads: int
    kv_heads: int
    d_ff: int

    @property
    def head_dim(self) -> int:
        return self.d_model // self.heads


@dataclass(frozen=True)
class Weights:
    """Of one block, or the gradients by them: gains (d_model,), matrices (out, in)."""

    before_attention: Tensor
    qkv: Tensor
    project: Tensor
    before_gate: Tensor
    gate_up: Tensor
    down: Tensor


def states(
    x: Tensor,
    blocks: Sequence[Weights],
    gain: Tensor,
    turns: Tensor | None,
    shape: Shape,
    places: Packed,
    by_distance: Tensor | None = None,
) -> Tensor:
    """The normed states (tokens, d_model) of embeddings x, with a first derivative.

    Args:
        x: (tokens, d_model), float32, on the CPU, as all others.
        gain: (d_model,), of the last norm.
        turns: (context, head_dim / 2, 2), cosine and sine of each position's angles; None: queries and keys are not turned.
        by_distance: (heads, distances), added to the scores at distances 0, 1, … from a query back to a key.
    """
    weights = [getattr(block, field.name) for block in blocks for field in fields(block)]
    bias = x.new_empty(0, 0) if by_distance is None else by_distance.to(x.dtype).contiguous()
    setting = _Setting(shape, places, turns)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in (x, gain, bias, *weights))):
        return _without_gradient(setting, x.detach(), gain.detach(), bias.detach(), _blocks(weights))
    found: Tensor = _States.apply(setting, x, gain, bias, *weights)  # type: ignore[no-untyped-call]
    return found


def _without_gradient(
    setting: _Setting, x: Tensor, gain: Tensor, bias: Tensor, blocks: list[Weights]
) -> Tensor:
    """Each of torch's threads has its share of the sequences, where none goes on from another: the passes use one thread."""
    places, first = setting.places, setting.places.first.tolist()
    shares = max(1, min(cores(x.device), len(x) // WORTH_A_THREAD))
    if shares == 1 or bool((places.beginning >= 0).any()):
        return _forward(setting, x, gain, bias, blocks, keep=False)[0]
    cuts = sorted({bisect_left(first, len(x) * i // shares) for i in range(shares + 1)})

    @torch.no_grad()
    def of_share(cut: tuple[int, int]) -> Tensor:
        last = slice(cut[0], cut[1] + 1)
        tokens, sequences = slice(first[cut[0]], first[cut[1]]), slice(*cut)
        own = Packed(
            places.first[last] - first[cut[0]], places.beginning[sequences], places.positions[tokens]
        )
        return _forward(replace(setting, places=own), x[tokens], gain, bias, blocks, keep=False)[0]

    return torch.cat(each(of_share, list(pairwise(cuts)), x.device))


class _States(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, setting: _Setting, x: Tensor, gain: Tensor, bias: Tensor, *weights: Tensor
    ) -> Tensor:
        found, kept = _forward(setting, x.detach(), gain.detach(), bias.detach(), _blocks(weights), keep=True)
        ctx.setting, ctx.kept = setting, kept
        ctx.save_for_backward(gain, bias, *weights)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gain, bias, *weights = ctx.saved_tensors
        g = gradients[0].contiguous()
        return None, *_backward(ctx.setting, g, gain.detach(), bias.detach(), _blocks(weights), ctx.kept)


@dataclass(frozen=True)
class _Setting:
    shape: Shape
    places: Packed
    turns: Tensor | None

    @property
    def qkv(self) -> int:
        """Columns."""
        return (self.shape.heads + 2 * self.shape.kv_heads) * self.shape.head_dim

    def rotate(self, qkv: Tensor, part: slice, forwards: bool) -> None:
        """Turn the queries and keys of some tokens by their positions, in place, or back."""
        if self.turns is None:
            return
        from .numba import rows

        heads = self.shape.heads + self.shape.kv_heads
        _run(rows.rotate, qkv, self.places.positions[part], self.turns, heads, forwards)

    @property
    def attention(self) -> tuple[Any, ...]:
        """Arguments of its kernels."""
        heads, kv_heads = self.shape.heads, self.shape.kv_heads
        return self.places.first, self.places.beginning, heads, kv_heads, self.shape.head_dim**-0.5


@dataclass(frozen=True)
class _Kept:
    """Of one block, a row for each token; `scale_…` is 1 / root mean square of a row of the stream."""

    before_attention: Tensor
    scale_attention: Tensor
    qkv: Tensor
    attended: Tensor
    lse: Tensor
    before_gate: Tensor
    scale_gate: Tensor
    gate_up: Tensor


@dataclass(frozen=True)
class _AllKept:
    """`last` is the stream behind the last block."""

    space: Workspace
    blocks: list[_Kept]
    last: Tensor
    last_scale: Tensor


def _blocks(weights: Sequence[Tensor]) -> list[Weights]:
    each = len(fields(Weights))
    return [Weights(*(w.detach() for w in weights[i : i + each])) for i in range(0, len(weights), each)]


def _room(setting: _Setting, tokens: int, blocks: int) -> _AllKept:
    shape = setting.shape
    stream, number = (tokens, shape.d_model), (tokens,)
    of_block = [
        stream, number, (tokens, setting.qkv), stream, (tokens, shape.heads), stream, number, (tokens, 2 * shape.d_ff),
    ]  # fmt: skip
    space = Workspace([*of_block * blocks, stream, number])
    *tensors, last, last_scale = space.tensors
    each = len(of_block)
    return _AllKept(
        space, [_Kept(*tensors[i : i + each]) for i in range(0, len(tensors), each)], last, last_scale
    )


def _forward(
    setting: _Setting, x: Tensor, gain: Tensor, bias: Tensor, blocks: list[Weights], keep: bool
) -> tuple[Tensor, _AllKept]:
    """Its parts begin after the products of attention, where tokens meet: from there to the next block's queries and keys."""
    from .numba import attention, rows

    tokens, some = len(x), min(ROWS, len(x))
    all_kept = _room(setting, tokens, len(blocks) if keep else min(1, len(blocks)))
    kept = all_kept.blocks if keep else all_kept.blocks * len(blocks)
    found = torch.empty_like(x)
    scratch = Workspace([(some, setting.shape.d_model), (some, setting.shape.d_ff)])
    for layer in range(len(blocks) + 1):
        if layer:
            before, weights = kept[layer - 1], blocks[layer - 1]
            _run(attention.attend, before.qkv, *setting.attention, bias, before.attended, before.lse)
        stream, scale, of_norm = all_kept.last, all_kept.last_scale, gain
        if layer < len(blocks):
            stream, scale = kept[layer].before_attention, kept[layer].scale_attention
            of_norm = blocks[layer].before_attention
        for part in _parts(tokens):
            y, h = (t[: part.stop - part.start] for t in scratch.tensors)
            normed = y if layer < len(blocks) else found[part]
            if not layer:
                stream[part] = x[part]
                _run(rows.norm, stream[part], of_norm, EPSILON, normed, scale[part])
            else:
                middle, gate_up = before.before_gate[part], before.gate_up[part]
                came, of_gate, scale_gate = (
                    before.before_attention[part],
                    weights.before_gate,
                    before.scale_gate[part],
                )
                product("forward", before.attended[part], weights.project.t(), middle)
                _run(rows.add_and_norm, came, middle, of_gate, EPSILON, y, scale_gate)
                product("forward", y, weights.gate_up.t(), gate_up)
                _run(rows.swiglu, gate_up, h)
                product("forward", h, weights.down.t(), stream[part])
                _run(rows.add_and_norm, middle, stream[part], of_norm, EPSILON, normed, scale[part])
            if layer < len(blocks):
                qkv = kept[layer].qkv[part]
                product("forward", y, blocks[layer].qkv.t(), qkv)
                setting.rotate(qkv, part, True)
    return found, all_kept


def _backward(
    setting: _Setting, g: Tensor, gain: Tensor, bias: Tensor, blocks: list[Weights], all_kept: _AllKept
) -> list[Tensor]:
    """The gradients by x, the last gain, what is added to the scores and the weights of each block."""
    from .numba import attention, rows

    shape, kept, tokens, some = setting.shape, all_kept.blocks, len(g), min(ROWS, len(g))
    wide, narrow = (some, shape.d_ff), (some, shape.d_model)
    scratch = Workspace([narrow, narrow, wide, wide, (some, 2 * shape.d_ff)])
    whole = Workspace([(tokens, shape.d_model), (tokens, setting.qkv)])
    d_attended, d_qkv = whole.tensors
    dx, d_gain, d_bias = (torch.zeros_like(t) for t in (g, gain, bias))
    d_blocks = [Weights(*map(torch.zeros_like, vars(block).values())) for block in blocks]
    for layer in range(len(blocks), -1, -1):
        for part in _parts(tokens):
            y, dy, h, dh, d_gate_up = (t[: part.stop - part.start] for t in scratch.tensors)
            r = dx[part]
            if layer == len(blocks):
                last, scale = all_kept.last[part], all_kept.last_scale[part]
                _run(rows.norm_backward, g[part], last, scale, gain, r, d_gain, y)
            else:
                after, above, d_above, d = kept[layer], blocks[layer], d_blocks[layer], d_qkv[part]
                setting.rotate(d, part, False)
                product("input gradient", d, above.qkv, dy)
                stream, scale = after.before_attention[part], after.scale_attention[part]
                of_norm, d_norm = above.before_attention, d_above.before_attention
                _run(rows.norm_backward, dy, stream, scale, of_norm, r, d_norm, y)
                product("weight gradient", d.t(), y, d_above.qkv, accumulate=True)
            if layer:
                before, weights, d_weights = kept[layer - 1], blocks[layer - 1], d_blocks[layer - 1]
                product("input gradient", r, weights.down, dh)
                _run(rows.swiglu_backward, dh, before.gate_up[part], d_gate_up, h)
                product("weight gradient", r.t(), h, d_weights.down, accumulate=True)
                product("input gradient", d_gate_up, weights.gate_up, dy)
                stream, scale = before.before_gate[part], before.scale_gate[part]
                of_norm, d_norm = weights.before_gate, d_weights.before_gate
                _run(rows.norm_backward, dy, stream, scale, of_norm, r, d_norm, y)
                product("weight gradient", d_gate_up.t(), y, d_weights.gate_up, accumulate=True)
                product("input gradient", r, weights.project, d_attended[part])
                product("weight gradient", r.t(), before.attended[part], d_weights.project, accumulate=True)
        if layer:
            arguments = (*setting.attention, bias, before.lse, d_qkv, d_bias)
            _run(attention.attend_backward, d_attended, before.qkv, *arguments)
    return [dx, d_gain, d_bias, *(each for block in d_blocks for each in vars(block).values())]


def _run(kernel: Callable[..., None], *arguments: Any) -> None:
    kernel(*(x.numpy() if isinstance(x, Tensor) else x for x in arguments))


def _parts(tokens: int) -> Iterator[slice]:
    """All tokens in parts of about equal length, at most ROWS each."""
    count = -(-tokens // ROWS)
    for i in range(count):
        yield slice(tokens * i // count, tokens * (i + 1) // count)
