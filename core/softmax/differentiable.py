"""A gradient for softmaxes whose forward pass is a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .operations import accumulator, needs_gradient

Forward = Callable[[Tensor, int], Tensor]


def differentiable(forward: Forward, x: Tensor, dim: int) -> Tensor:
    """forward(x, dim), and with gradients where x asks for them: y·(g − Σ g·y), of any order.

    Args:
        forward: computes softmax over `dim` and knows nothing of gradients.
    """
    if not needs_gradient(x):
        return forward(x, dim)
    y: Tensor = _Softmax.apply(x, dim, forward)  # type: ignore[no-untyped-call]
    return y


class _Softmax(torch.autograd.Function):
    """Backward in PyTorch operations, which have gradients of their own; in float32 for halves."""

    @staticmethod
    def forward(x: Tensor, dim: int, forward: Forward) -> Tensor:
        return forward(x.detach(), dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.dim = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (y,), (g,) = ctx.saved_tensors, gradients
        dtype = accumulator(y.dtype)
        wide, g = y.to(dtype), g.to(dtype)
        inner = (g * wide).sum(ctx.dim, keepdim=True)
        return (wide * (g - inner)).to(y.dtype), None, None
