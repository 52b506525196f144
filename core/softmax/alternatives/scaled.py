"""Softmax of other logits: scaled by the row's length, or bounded."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..operations import accumulator, safe

SSMAX_S = 0.43
"""The slope in Figure 1 of Nakanishi (arXiv:2501.19399). Models learn one for each head and layer."""
CAP = 50.0
"""Gemma 2's in attention layers (arXiv:2408.00118, §2); its last layer has 30."""


def ssmax(x: Tensor, dim: int = -1, *, s: Tensor | float = SSMAX_S) -> Tensor:
    """Scalable softmax, softmax(s·log n·x) = n^(s·x_i) / Σ n^(s·x_j), n the size of `dim` (Nakanishi, arXiv:2501.19399).

    The larger n, the steeper, so that one logit above the others keeps its share in long rows.

    Args:
        x, dim: as in `operations.safe`.
        s: a number, or a tensor that broadcasts with x where `dim` has size 1. Differentiable.
    Returns: like x. Stable: the largest logit is subtracted before the rest is scaled up, rounding errors
    with it. A row of nothing but −∞ is NaN.
    """
    if x.numel() == 0:
        return torch.empty_like(x)
    wide = x.to(accumulator(x.dtype))
    n = x.shape[dim] if x.dim() else 1
    return safe((wide - wide.detach().amax(dim, keepdim=True)) * (s * math.log(n)), dim).to(x.dtype)


def softcapped(x: Tensor, dim: int = -1, *, cap: float = CAP) -> Tensor:
    """softmax(c·tanh(x/c)): logits lie within ±c (Gemma 2, arXiv:2408.00118).

    Args:
        x, dim: as in `operations.safe`.
        cap: c, above 0.
    Returns: like x; no probability is less than e^(−2c) of another. −∞ stays −∞, as where a mask is added after the
    cap.
    """
    wide = x.to(accumulator(x.dtype))
    capped = torch.where(wide == -math.inf, wide, cap * torch.tanh(wide / cap))
    return safe(capped, dim).to(x.dtype)
