"""A transformer's operations between matrix products, with gradients by hand where PyTorch's would pass over memory more often.

A small model's products take hardly longer than one pass over their results, so fewer passes save time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · gain, over the last dimension (Zhang & Sennrich, arXiv:1910.07467, eq. 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return normed(x) * self.weight
        plain: Tensor = F.rms_norm(x, (x.shape[-1],), self.weight)
        return plain


def normed(x: Tensor) -> Tensor:
    """x / √(mean(x²) + ε), over the last dimension; ε is that of x's dtype."""
    found: Tensor = _Normed.apply(x)  # type: ignore[no-untyped-call]
    return found


def swiglu(x: Tensor) -> Tensor:
    """silu(gate) · up, where x (…, 2·width) holds gate and up (Shazeer, arXiv:2002.05202, eq. 6)."""
    if torch.is_grad_enabled():
        found: Tensor = _SwiGLU.apply(x)  # type: ignore[no-untyped-call]
        return found
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        width = x.shape[-1]
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        scale = squares.div_(width).add_(torch.finfo(x.dtype).eps).rsqrt_()
        y: Tensor = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """dx = (g − y · mean(g·y)) · scale, as y = x · scale and scale depends on x."""
        [g], (y, scale) = gradients, ctx.saved_tensors
        along: Tensor = torch.linalg.vecdot(g, y).unsqueeze(-1).div_(-y.shape[-1])
        dx: Tensor = torch.addcmul(g, y, along).mul_(scale)
        return dx


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, -1)
        opened = F.silu(gate)
        ctx.save_for_backward(x, opened)
        return opened * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Both halves are written where they belong, without being put together afterwards."""
        [g], (x, opened) = gradients, ctx.saved_tensors
        gate, up = x.chunk(2, -1)
        dx = torch.empty_like(x)
        d_gate, d_up = dx.chunk(2, -1)
        torch.mul(g, opened, out=d_up)
        torch.mul(g, up, out=d_gate)
        torch.ops.aten.silu_backward.grad_input(d_gate, gate, grad_input=d_gate)
        return dx
