"""Rotary positions (RoPE; Su et al., arXiv:2104.09864): each pair of a query and of a key is turned by its position."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .interface import Encoding, Sizes, precise_as


def frequencies(head_dim: int, theta: float) -> Tensor:
    """θ_j = theta^(−2j/head_dim), (head_dim/2,), float64 (RoPE, eq. 15).

    Raises ValueError: head_dim is odd, so that one component has no other to turn with.
    """
    if head_dim % 2:
        raise ValueError(f"rotary positions: head_dim is {head_dim}; pairs are turned, so it must be even")
    return theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu") / head_dim)


def turning_by(frequency: Tensor, magnitude: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Positions (…) to magnitude · e^(i·position·frequency), (…, pairs). Angles are computed in float64."""

    def rotation(positions: Tensor) -> Tensor:
        angle = positions[..., None].double() * frequency.to(positions.device)
        return precise_as(positions, torch.polar(torch.full_like(angle, magnitude), angle))

    return rotation


def rope(sizes: Sizes) -> Encoding:
    """Every pair is turned. A score then depends on the difference of two positions alone (RoPE, eq. 16)."""
    return Encoding(rotation=turning_by(frequencies(sizes.head_dim, sizes.theta)))


def partial_rope(sizes: Sizes, share: float = 0.75) -> Encoding:
    """The highest frequencies turn, so large a share of them; the lowest are left alone, for content (p-RoPE; Barbero et
    al., arXiv:2410.06205, §6.1).

    Raises ValueError: the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"partial-rope: share is {share:g}; it must be between 0 and 1")
    frequency = frequencies(sizes.head_dim, sizes.theta)
    frequency[round(share * len(frequency)) :] = 0
    return Encoding(rotation=turning_by(frequency))


def rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """x (batch, length, heads, head_dim), each pair (2j, 2j + 1) of a head a complex number, times that of its position.

    Args:
        rotation: complex (length, 1, head_dim/2), or (batch, length, 1, head_dim/2).
    """
    # Half precision is too coarse to turn in.
    single = x.to(torch.promote_types(x.dtype, torch.float32))
    pairs = torch.view_as_complex(single.view(*x.shape[:-1], -1, 2))
    turned: Tensor = torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)
    return turned
