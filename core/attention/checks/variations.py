"""Variations of an input: in float64, detached from autograd, with more gradients, in part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from ..arguments import Options
from ..band import band_of
from .shapes import Inputs


def double(given: Inputs) -> Inputs:
    """Everything in float64; what had gradients has them here."""

    def wide(x: Tensor) -> Tensor:
        return x.detach().double().requires_grad_(x.requires_grad)

    options: dict[str, Any] = {
        name: wide(x) for name, x in given.options.tensors.items() if x.is_floating_point()
    }
    return Inputs(wide(given.q), wide(given.k), wide(given.v), replace(given.options, **options))


def again(given: Inputs) -> Inputs:
    """Tensors of their own for q, k and v, on the same numbers."""
    q, k, v = (x.detach().requires_grad_(x.requires_grad) for x in (given.q, given.k, given.v))
    return replace(given, q=q, k=k, v=v)


def with_gradients(options: Options) -> Options:
    """Gradients for an added mask and the sink too; ALiBi's slopes have none."""
    variable: dict[str, Any] = {
        name: x.detach().requires_grad_()
        for name, x in options.tensors.items()
        if x.is_floating_point() and name != "alibi_slopes"
    }
    return replace(options, **variable)


def variables(given: Inputs) -> dict[str, Tensor]:
    """What has gradients, by name."""
    named = {"q": given.q, "k": given.k, "v": given.v} | given.options.tensors
    return {name: x for name, x in named.items() if x.requires_grad}


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
