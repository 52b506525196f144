"""Rotary positions on a grid: a position is (row, column)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .interface import Encoding, Sizes, precise_as
from .rotary import frequencies


def axial(sizes: Sizes) -> Encoding:
    """Half of the pairs turn with the row, half with the column (Heo et al., arXiv:2403.13298, §3.2, eq. 12; theta is
    100 there, eq. 13).

    Raises ValueError: the pairs cannot be halved.
    """
    if sizes.head_dim % 4:
        raise ValueError(f"axial: head_dim is {sizes.head_dim}; two halves of pairs need a multiple of 4")
    frequency = frequencies(sizes.head_dim // 2, sizes.theta)

    def rotation(positions: Tensor) -> Tensor:
        angle = (positions[..., :, None].double() * frequency.to(positions.device)).flatten(-2)
        return precise_as(positions, torch.polar(torch.ones_like(angle), angle))

    return Encoding(rotation=rotation, axes=2)


def mixed(sizes: Sizes) -> Encoding:
    """Each pair turns with row and column at once, by frequencies that are learned: e^(i(θ_r·r + θ_c·c)) (Heo et al.,
    arXiv:2403.13298, §3.2, eq. 14; there for each head and layer, here once)."""
    return Encoding(rotation=Mixed(sizes.head_dim, sizes.theta), axes=2)


class Mixed(nn.Module):
    """Frequencies of both axes, (2, pairs); those of RoPE in a direction drawn for each pair when training begins."""

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        size = frequencies(head_dim, theta).float()
        direction = 2 * torch.pi * torch.rand(len(size), dtype=torch.float32, device="cpu")
        self.frequency = nn.Parameter(torch.stack([size * direction.cos(), size * direction.sin()]))

    def forward(self, positions: Tensor) -> Tensor:
        """Positions (…, 2) to (…, pairs), complex."""
        angle = positions.double() @ self.frequency.double()
        return precise_as(positions, torch.polar(torch.ones_like(angle), angle))
