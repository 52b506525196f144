"""Masking, checks and means that all losses here share."""

from __future__ import annotations

import torch
from torch import Tensor

from ....lm.precision import wide


def masked(x: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """A tensor (batch, units, …), in float32 at least, with zeros where the mask (batch, units) is not true.

    Padding may hold any number, and 0 · ∞ would be NaN, also in a gradient.

    Raises ValueError: shapes that do not match.
    """
    if x.dim() != 3:
        raise ValueError(f"{name} have shape {tuple(x.shape)}; three axes are needed: batch, tokens, values")
    if mask is None:
        return wide(x)
    if x.shape[:2] != mask.shape:
        raise ValueError(f"{name} have shape {tuple(x.shape)}, but the mask has {tuple(mask.shape)}")
    return wide(x).masked_fill(~mask.bool().unsqueeze(-1), 0)


def masked_teacher(x: Tensor, mask: Tensor | None, name: str = "teacher_logits") -> Tensor:
    """`masked`, detached. Raises ValueError: a NaN where the mask is true."""
    x = masked(x.detach(), mask, name)
    nan = x.isnan().any(-1)
    if nan.any():
        row, at = nan.nonzero()[0].tolist()
        raise ValueError(f"{name} are NaN in {int(nan.sum())} places, first in row {row} at position {at}")
    return x


def positive(**numbers: float) -> None:
    """Raise ValueError for a number that is not above 0, by name."""
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} is {number}; it must be above 0")


def mean(x: Tensor, mask: Tensor | None, num_items: float | None) -> Tensor:
    """The sum over unmasked units (batch, units), divided by their number; by num_items for a piece of a batch."""
    if mask is not None:
        x = torch.where(mask.bool(), x, 0)
    units = x.numel() if mask is None else mask.bool().sum()
    return x.sum() / (
        torch.as_tensor(units, device=x.device).clamp(min=1) if num_items is None else max(num_items, 1)
    )
