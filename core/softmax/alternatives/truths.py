"""Each alternative in float64 by its definition, computed otherwise than in PyTorch operations.

x   logits (…, columns), float64        returns the weights, the same shape
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .scaled import CAP, SSMAX_S
from .unnormalised import SOFTPICK_EPSILON

BISECTIONS = 80
"""An interval of 1 is halved until a float64 is reached, and some."""


def softmax1(x: Tensor) -> Tensor:
    """One logit of 0 appended, and its probability dropped."""
    return _appended(x, 0.0)


def sink(x: Tensor, s: float = 1.0) -> Tensor:
    """One logit of s appended, and its probability dropped."""
    return _appended(x, s)


def _appended(x: Tensor, s: float) -> Tensor:
    return torch.softmax(torch.cat([x, x.new_full((*x.shape[:-1], 1), s)], -1), -1)[..., :-1]


def ssmax(x: Tensor) -> Tensor:
    """n^(s·(x − max x)), divided by its sum."""
    power = float(x.shape[-1]) ** (SSMAX_S * (x - x.amax(-1, keepdim=True)))
    return power / power.sum(-1, keepdim=True)


def softcapped(x: Tensor) -> Tensor:
    return torch.softmax((CAP * torch.tanh(x / CAP)).masked_fill(x == -math.inf, -math.inf), -1)


def sparsemax(x: Tensor) -> Tensor:
    """τ by bisection, Σ max(0, x − τ) = 1."""
    return _projected(x, alpha=2.0)


def entmax15(x: Tensor) -> Tensor:
    """τ by bisection, Σ max(0, x/2 − τ)² = 1."""
    return _projected(x, alpha=1.5)


def _projected(x: Tensor, alpha: float) -> Tensor:
    """Where the sum is 1: it falls with τ, from at least 1 at max − 1 to 0 at max."""
    z = (alpha - 1) * (x - x.amax(-1, keepdim=True))
    high = torch.zeros_like(z[..., :1])
    low = high - 1

    def weights(tau: Tensor) -> Tensor:
        return (z - tau).clamp(min=0) ** (1 / (alpha - 1))

    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        too_low = weights(middle).sum(-1, keepdim=True) >= 1
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    return weights(low)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + x.shape[-1] * (-x).exp())


def softpick(x: Tensor) -> Tensor:
    """The formula as it stands, on float64's range of exponents; beyond it, e^x against e^x."""
    m = (x.amax(-1, keepdim=True) - 700).clamp(min=0)  # 0 wherever e^x fits
    distance = ((x - m).exp() - (-m).exp()).masked_fill(x == -math.inf, 0)
    return distance.clamp(min=0) / (distance.abs().sum(-1, keepdim=True) + SOFTPICK_EPSILON * (-m).exp())
