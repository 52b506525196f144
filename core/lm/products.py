"""A linear layer's three products, each by the library that is fastest for it on this machine and right.

    y = x Wᵀ,    dx = g W,    dW = gᵀ x

`measure.fastest_products` says which; what it leaves to PyTorch, another device and autocast are as in `nn.Linear`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..measure.fastest_products import in_use, size_of
from ..measure.products import libraries
from .compiled_or_torch import compiled


class Linear(nn.Linear):
    """`nn.Linear` with the same parameters, and these products."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + bias: x (…, in), weight (out, in), bias (out,) to (…, out)."""
    if not in_use() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or x.dtype != weight.dtype:
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        y: Tensor = _Linear.apply(x, weight)  # type: ignore[no-untyped-call]
    else:
        y = _forward(x, weight)
    return y if bias is None else y + bias


def product(
    role: str, a: Tensor, b: Tensor, out: Tensor | None = None, *, accumulate: bool = False
) -> Tensor:
    """A·B of matrices on the CPU, of any strides: a layer's "forward", "input gradient" or "weight gradient".

    Args:
        out: where it goes, or what it is added to where it is to `accumulate`.
    """
    m, k = a.shape
    if (size := size_of(m, k, b.shape[1])) is not None:
        dtype = str(a.dtype).removeprefix("torch.")
        if library := in_use().get((torch.get_num_threads(), dtype, role, size)):
            found = libraries(a.dtype)[library].multiply(a, b, None if accumulate else out)
            if out is None or found is out:
                return found
            return out.add_(found) if accumulate else out.copy_(found)  # oneDNN writes where it likes
    if accumulate and out is not None:
        return out.addmm_(a, b)
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)


def made_by() -> list[object]:
    """What the numbers of a training depend on besides its code: part of the key of what is kept of one."""
    return [torch.__version__, torch.get_num_threads(), sorted(map(list, in_use().items())), compiled()]


def _forward(x: Tensor, weight: Tensor) -> Tensor:
    return product("forward", _rows(x), weight.t()).view(*x.shape[:-1], len(weight))


def _rows(x: Tensor) -> Tensor:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _forward(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        [g], (x, weight) = gradients, ctx.saved_tensors
        rows = _rows(g)
        of_x, of_weight = ctx.needs_input_grad
        dx = product("input gradient", rows, weight).view(x.shape) if of_x else None
        return dx, product("weight gradient", rows.t(), _rows(x)) if of_weight else None
