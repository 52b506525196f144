"""The Numba kernels as registered operators, where they cannot be given addresses: see `addresses`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .differentiable import log_softmax_gradient, softmax_gradient
from .numba.tensors import compute, topk_rows
from .operations import accumulator


@torch.library.custom_op(
    "lab::softmax_numba", mutates_args=(), schema="(Tensor x, SymInt dim, str output, str name) -> Tensor"
)
def _operator(x: Tensor, dim: int, output: str, name: str) -> Tensor:
    return compute(output, name, x, dim).contiguous()


@_operator.register_fake
def _(x: Tensor, dim: int, output: str, name: str) -> Tensor:
    return x.new_empty(x.movedim(dim, -1).shape[:-1] if output == "logsumexp" else x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.dim, ctx.output, _ = inputs
    ctx.save_for_backward(x if ctx.output == "logsumexp" else output)


def _differentiate(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    (kept,), dim = ctx.saved_tensors, ctx.dim
    if ctx.output == "logsumexp":
        dx = (g.unsqueeze(dim) if kept.dim() else g) * operator(kept, dim, "softmax", "online-rescaled-numba")
    else:
        dx = (softmax_gradient if ctx.output == "softmax" else log_softmax_gradient)(kept, g, dim)
    return dx, None, None, None


_operator.register_autograd(_differentiate, setup_context=_keep)


def operator(x: Tensor, dim: int, output: str, name: str) -> Tensor:
    """`numba.tensors.compute`, with gradients and without gaps."""
    y: Tensor = _operator(x, dim, output, name)
    return y


@torch.library.custom_op(
    "lab::softmax_topk_numba", mutates_args=(), schema="(Tensor x, SymInt k) -> (Tensor, Tensor)"
)
def topk_operator(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`numba.tensors.topk_rows`."""
    return topk_rows(x, k)


@topk_operator.register_fake
def _(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    v = x.new_empty((*x.shape[:-1], k), dtype=accumulator(x.dtype))
    return v, v.new_empty(v.shape, dtype=torch.int64)
