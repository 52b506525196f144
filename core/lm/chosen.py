"""Log-probabilities of chosen tokens out of hidden states, with logits that are in memory once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .products import product

AT_ONCE = 1 << 17
"""Logits whose gradient is in memory at one time."""


def chosen_log_probs(
    states: Tensor, at: Tensor, weight: Tensor, tokens: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of tokens, and the entropies of their distributions, (tokens,) each; the first have a gradient.

    Args:
        states: (rows, d_model). at: (tokens,), which of them predicts a token.
        weight: (vocabulary, d_model), of the head. tokens: (tokens,) int64.
    """
    # Said here, since `ctx.needs_input_grad` does not know of `torch.no_grad`.
    keep = torch.is_grad_enabled() and (states.requires_grad or weight.requires_grad)
    found: tuple[Tensor, Tensor] = _Chosen.apply(states, at, weight, tokens, temperature, keep)  # type: ignore[no-untyped-call]
    return found


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, at: Tensor, weight: Tensor, tokens: Tensor, temperature: float, keep: bool
    ) -> tuple[Tensor, Tensor]:
        from .numba.chosen import chosen

        states, weight = states.detach(), weight.detach()
        log_p, entropy, largest, log_sum = states.new_empty(4, len(at))
        logits = states.new_empty(len(at) if keep else _rows(weight), len(weight))
        picked = states.new_empty(_rows(weight), states.shape[1])
        for part in _parts(len(at), weight):
            n = part.stop - part.start
            of_part = logits[part] if keep else logits[:n]
            torch.index_select(states, 0, at[part], out=picked[:n])
            product("forward", picked[:n], weight.t(), of_part)
            chosen(
                of_part.numpy(), tokens[part].numpy(), 1 / temperature, log_p[part].numpy(), entropy[part].numpy(),
                largest[part].numpy(), log_sum[part].numpy(),
            )  # fmt: skip
        ctx.temperature = temperature
        if keep:
            ctx.save_for_backward(states, at, weight, tokens)
            ctx.logits, ctx.largest, ctx.log_sum = logits, largest, log_sum
        ctx.mark_non_differentiable(entropy)
        return log_p, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_log_p: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        from .numba.chosen import chosen_backward

        states, at, weight, tokens = ctx.saved_tensors
        d_log_p = d_log_p.contiguous()
        d_states, d_weight = torch.zeros_like(states), torch.zeros_like(weight)
        picked, d_picked = states.new_empty(2, _rows(weight), states.shape[1])
        d_logits = states.new_empty(_rows(weight), len(weight))
        for part in _parts(len(at), weight):
            n = part.stop - part.start
            d = d_logits[:n]
            chosen_backward(
                d_log_p[part].numpy(), ctx.logits[part].numpy(), tokens[part].numpy(), 1 / ctx.temperature,
                ctx.largest[part].numpy(), ctx.log_sum[part].numpy(), d.numpy(),
            )  # fmt: skip
            product("input gradient", d, weight, d_picked[:n])
            d_states.index_add_(0, at[part], d_picked[:n])
            torch.index_select(states, 0, at[part], out=picked[:n])
            product("weight gradient", d.t(), picked[:n], d_weight, accumulate=True)
        return d_states, None, d_weight, None, None, None


def _rows(weight: Tensor) -> int:
    return max(1, min(1024, AT_ONCE // len(weight)))


def _parts(count: int, weight: Tensor) -> Iterator[slice]:
    rows = _rows(weight)
    for first in range(0, count, rows):
        yield slice(first, min(count, first + rows))
