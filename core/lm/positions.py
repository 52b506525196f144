"""Rotary positions (RoPE; Su et al., arXiv:2104.09864)."""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import wide


def rotations(context: int, head_dim: int, theta: float) -> Tensor:
    """e^(i·position·θ_j) with θ_j = theta^(−2j/head_dim), complex (context, 1, head_dim/2) (RoPE, eq. 15)."""
    frequency = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency).unsqueeze(1)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """x (batch, length, heads, head_dim), each pair (2j, 2j + 1) of a head a complex number, turned by its position."""
    pairs = torch.view_as_complex(wide(x).view(*x.shape[:-1], -1, 2))
    turned: Tensor = torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)
    return turned
