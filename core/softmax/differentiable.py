"""Gradients for softmax, log-softmax and logsumexp whose forward pass is a kernel.

Backward passes are in PyTorch operations, which have gradients of their own; in float32 for halves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .operations import accumulator, needs_gradient

Forward = Callable[[Tensor, int], Tensor]


def differentiable(forward: Forward, x: Tensor, dim: int) -> Tensor:
    """forward(x, dim), itself without gradients, with gradients of any order where x requires them: y·(g − Σ g·y)."""
    if not needs_gradient(x):
        return forward(x, dim)
    y: Tensor = _Softmax.apply(x, dim, forward)  # type: ignore[no-untyped-call]
    return y


def differentiable_log_softmax(forward: Forward, x: Tensor, dim: int) -> Tensor:
    """The same of a log-softmax y: g − e^y·Σ g."""
    y: Tensor = _LogSoftmax.apply(x, dim, forward)  # type: ignore[no-untyped-call]
    return y


def differentiable_logsumexp(forward: Forward, softmax: Forward, x: Tensor, dim: int) -> Tensor:
    """The same of a logsumexp: g·softmax(x).

    Taken of x and not of the result, e^(x − y): in bfloat16 a result of 8 is off by 1.6%.

    `softmax` has gradients of its own.
    """
    y: Tensor = _LogSumExp.apply(x, dim, forward, softmax)  # type: ignore[no-untyped-call]
    return y


def softmax_gradient(y: Tensor, g: Tensor, dim: int) -> Tensor:
    """y·(g − Σ g·y), in y's dtype."""
    dtype = accumulator(y.dtype)
    wide, g = y.to(dtype), g.to(dtype)
    inner = (g * wide).sum(dim, keepdim=True)
    return (wide * (g - inner)).to(y.dtype)


def log_softmax_gradient(y: Tensor, g: Tensor, dim: int) -> Tensor:
    """g − e^y·Σ g, in y's dtype."""
    dtype = accumulator(y.dtype)
    wide = g.to(dtype)
    return (wide - y.to(dtype).exp() * wide.sum(dim, keepdim=True)).to(y.dtype)


class _Softmax(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int, forward: Forward) -> Tensor:
        return forward(x.detach(), dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.dim = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return softmax_gradient(ctx.saved_tensors[0], gradients[0], ctx.dim), None, None


class _LogSoftmax(_Softmax):
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return log_softmax_gradient(ctx.saved_tensors[0], gradients[0], ctx.dim), None, None


class _LogSumExp(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int, forward: Forward, softmax: Forward) -> Tensor:
        return forward(x.detach(), dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.dim, _, ctx.softmax = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x,), (g,) = ctx.saved_tensors, gradients
        rows = g.unsqueeze(ctx.dim) if x.dim() else g
        return rows * ctx.softmax(x, ctx.dim), None, None, None
