"""Variations of an input: in float64, detached from autograd, with more gradients, in part."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..arguments import Options
from ..band import band_of
from .shapes import Inputs


def double(given: Inputs) -> Inputs:
    """Everything in float64; what had gradients has them here."""

    def wide(x: Tensor) -> Tensor:
        return x.detach().double().requires_grad_(x.requires_grad)

    options = given.options
    if options.attn_mask is not None and options.attn_mask.dtype != torch.bool:
        options = replace(options, attn_mask=wide(options.attn_mask))
    if options.sink is not None:
        options = replace(options, sink=wide(options.sink))
    if options.alibi_slopes is not None:
        options = replace(options, alibi_slopes=options.alibi_slopes.double())
    return Inputs(wide(given.q), wide(given.k), wide(given.v), options)


def again(given: Inputs) -> Inputs:
    """Tensors of their own for q, k and v, on the same numbers."""
    q, k, v = (x.detach().requires_grad_(x.requires_grad) for x in (given.q, given.k, given.v))
    return replace(given, q=q, k=k, v=v)


def with_gradients(options: Options) -> Options:
    """Gradients for an added mask and the sink too."""
    mask, sink = options.attn_mask, options.sink
    if mask is not None and mask.is_floating_point():
        options = replace(options, attn_mask=mask.detach().requires_grad_())
    return options if sink is None else replace(options, sink=sink.detach().requires_grad_())


def variables(given: Inputs) -> dict[str, Tensor]:
    """What has gradients, by name."""
    named = {"q": given.q, "k": given.k, "v": given.v}
    named |= {"attn_mask": given.options.attn_mask, "sink": given.options.sink}  # type: ignore[dict-item]
    return {name: x for name, x in named.items() if x is not None and x.requires_grad}


def some_rows(given: Inputs, start: int, stop: int, end: int | None = None) -> Inputs:
    """The queries from start to stop of the first element of the batch, beside the keys before `end`, with the same band."""
    q, k, v, options = given.q, given.k, given.v, given.options
    keys = k.shape[2] if end is None else end
    shift = start + band_of(q.shape[2], k.shape[2], options).shift
    if options.attn_mask is not None:
        mask = options.attn_mask[:1]
        mask = mask[:, :, start:stop] if mask.shape[2] > 1 else mask
        options = replace(options, attn_mask=mask[..., :keys])
    if options.alibi_slopes is not None:
        options = replace(options, alibi_slopes=options.alibi_slopes[:1])
    # The usual shift is left out: not every backend has another.
    options = replace(options, shift=None if shift == keys - (stop - start) else shift)
    return Inputs(q[:1, :, start:stop], k[:1, :, :keys], v[:1, :, :keys], options)
