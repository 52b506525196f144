"""Weights that need not sum to one: sigmoid, without any sum, and softpick, with one that counts distances from 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..operations import accumulator

SOFTPICK_EPSILON = 1e-8


def sigmoid(x: Tensor, dim: int = -1) -> Tensor:
    """σ(x − log n), n the size of `dim` (Ramapuram et al., arXiv:2409.04431): each weight from its own logit alone.

    Args:
        x: logits of any shape; float16, bfloat16, float32 or float64. Halves are computed in float32.
        dim: the dimension whose size is n; at logits of 0 the weights sum to just under one.
    Returns: like x. Stable: σ is, and no row is summed.
    """
    n = max(x.shape[dim] if x.dim() else 1, 1)
    return torch.sigmoid(x.to(accumulator(x.dtype)) - math.log(n)).to(x.dtype)


def softpick(x: Tensor, dim: int = -1, *, epsilon: float = SOFTPICK_EPSILON) -> Tensor:
    """relu(e^x − 1) / (Σ |e^x − 1| + ε) (Zuhri, Fuadi & Aji, arXiv:2504.20966).

    An entry of 0 or below gets exactly 0, but its distance from 0 lowers the others. A masked entry, −∞, is left out of
    the sum, where the formula would count it as 1.

    Args:
        x, dim: as in `operations.safe`; the sum is at most one.
        epsilon: ε, so that a row of zeros is 0 and not 0/0.
    Returns: like x. Stable: both sides are multiplied by e^(−m), m the largest of x and 0, and near x = 0 e^x
    − 1 is taken as one function.
    """
    if x.numel() == 0:
        return torch.empty_like(x)
    wide = x.to(accumulator(x.dtype))
    masked = wide == -math.inf
    m = wide.detach().amax(dim, keepdim=True).clamp(min=0)
    small = wide.clamp(max=1)
    shift = (-m).exp()
    distance = torch.where(wide < 1, torch.expm1(small) * shift, (wide - m).exp() - shift)
    distance = torch.where(masked, 0, distance)
    total = distance.abs().sum(dim, keepdim=True) + epsilon * shift
    return (distance.clamp(min=0) / total).to(x.dtype)
