"""Projections onto the simplex, with exact zeros: sparsemax and entmax-1.5.

Both are max over the simplex of ⟨p, x⟩ + H(p), as softmax is with Shannon's entropy; here H is another one, of Tsallis,
with α = 2 and α = 1.5. The solution is p_i = max(0, (α − 1)·x_i − τ)^(1/(α−1)), and τ follows from the support, the k
largest logits, which a sort finds. Once the support is known p is a smooth function of what is in it, so only that part
is given to autograd.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..operations import accumulator


def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    """The point of the simplex nearest to x (Martins & Astudillo, arXiv:1602.02068).

    Arguments as in `operations.safe`.
    Returns: like x. Stable: the largest logit is subtracted, and no exponential is taken. NaN in a row of
    nothing but −∞, or with +∞ or NaN.
    """
    if x.numel() == 0:
        return torch.empty_like(x)
    z = _from_the_largest(x, dim)
    with torch.no_grad():
        ordered = z.sort(dim, descending=True).values
        k = _counting_like(ordered, dim)
        supported = 1 + k * ordered > ordered.cumsum(dim)
        size = supported.sum(dim, keepdim=True)
        support = z >= ordered.gather(dim, (size - 1).clamp(min=0))
    tau = (torch.where(support, z, 0).sum(dim, keepdim=True) - 1) / support.sum(dim, keepdim=True)
    return _spoilt_as_softmax(torch.where(support, (z - tau).clamp(min=0), 0), z, dim).to(x.dtype)


def entmax15(x: Tensor, dim: int = -1) -> Tensor:
    """p_i = max(0, x_i/2 − τ)²: between softmax and sparsemax (Peters, Niculae & Martins, arXiv:1905.05702).

    The sum over a support S is 1 for τ = mean − √((1 − k·variance)/k), k the size of S, mean and variance those of
    x/2 in S.

    Args and returns as in `sparsemax`.
    """
    if x.numel() == 0:
        return torch.empty_like(x)
    z = _from_the_largest(x, dim) / 2
    with torch.no_grad():
        ordered = z.sort(dim, descending=True).values
        k = _counting_like(ordered, dim)
        mean = ordered.cumsum(dim) / k
        variance = (ordered**2).cumsum(dim) / k - mean**2
        tau = mean - ((1 - k * variance) / k).clamp(min=0).sqrt()
        size = (tau <= ordered).sum(dim, keepdim=True)  # NaN, beyond the last finite logit, is not
        support = z >= ordered.gather(dim, (size - 1).clamp(min=0))
    k = support.sum(dim, keepdim=True)
    mean = torch.where(support, z, 0).sum(dim, keepdim=True) / k
    squares = (torch.where(support, z - mean, 0) ** 2).sum(dim, keepdim=True)
    tau = mean - ((1 - squares) / k).clamp(min=0).sqrt()
    return _spoilt_as_softmax(torch.where(support, (z - tau).clamp(min=0) ** 2, 0), z, dim).to(x.dtype)


def _from_the_largest(x: Tensor, dim: int) -> Tensor:
    """x − max x, wide enough to be summed; the largest is a constant to the gradient, as p does not depend on it."""
    return x.to(accumulator(x.dtype)) - x.detach().amax(dim, keepdim=True)


def _counting_like(x: Tensor, dim: int) -> Tensor:
    """1, 2, 3, … along `dim`."""
    shape = [1] * x.dim()
    if shape:
        shape[dim] = -1
    return torch.arange(1, (x.shape[dim] if x.dim() else 1) + 1, dtype=x.dtype, device=x.device).view(shape)


def _spoilt_as_softmax(p: Tensor, z: Tensor, dim: int) -> Tensor:
    """NaN in rows where x − max x has one: ∞ − ∞."""
    return torch.where(z.detach().isnan().any(dim, keepdim=True), math.nan, p)
