"""Properties in which alternatives differ from softmax, measured on inputs made for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...measure.traffic import operator_traffic

Function = Callable[[Tensor], Tensor]

REDUCTIONS = ("amax", "max", "sum", "cumsum", "sort", "mean", "any", "_softmax", "logsumexp")
"""Operators that look at more than one element of a row for one result."""


def fading(function: Function, columns: int, dtype: torch.dtype, device: torch.device) -> float:
    """The weight of one logit of +3 among others of −2 (Figure 1 of arXiv:2501.19399)."""
    x = torch.full((1, columns), -2.0, dtype=dtype, device=device)
    x[0, columns // 2] = 3.0
    return float(function(x)[0, columns // 2])


def of_nothing(function: Function, dtype: torch.dtype, device: torch.device) -> float | None:
    """The sum of a row in which all are −∞, or None where that is NaN."""
    total = float(function(torch.full((1, 8), -math.inf, dtype=dtype, device=device)).sum())
    return None if math.isnan(total) else total


def widest_ratio(function: Function, device: torch.device) -> float | None:
    """log(largest / smallest weight) of logits 2,000 apart, in float64; None where one is 0."""
    x = torch.tensor([[-1000.0, 0.0, 1000.0]], dtype=torch.float64, device=device)
    weights = function(x)
    return float((weights.max() / weights.min()).log()) if weights.min() > 0 else None


def reductions(call: Callable[[], object]) -> float:
    """How many operators of a call reduce a row."""
    operators = operator_traffic(call).operators
    return float(sum(operators.get(name, 0) for name in REDUCTIONS))


def gradient_error(function: Function, x: Tensor) -> float:
    """The largest error of the gradient of Σ g·f(x), g normal, against the same in float64, over its largest entry."""
    g = torch.randn(
        x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32, device="cpu"
    ).to(x)

    def gradient(dtype: torch.dtype) -> Tensor:
        at = x.detach().to(dtype).requires_grad_()
        (found,) = torch.autograd.grad(function(at), at, g.to(dtype))
        return found

    truth = gradient(torch.float64)
    return float((gradient(x.dtype).double() - truth).abs().max() / truth.abs().max())
