"""Softmax that may attend to nothing: one more term in the sum, whose probability is dropped.

    sink(x)_i = e^(x_i) / (e^s + Σ_j e^(x_j))

The same as appending the logit s and dropping its probability. With s = 0 this is softmax₁ (Miller, "Attention is off by
one", 2023); with an s learned for each head it is the sink of gpt-oss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..operations import accumulator


def sink(x: Tensor, dim: int = -1, *, s: Tensor | float = 1.0) -> Tensor:
    """Probabilities that sum to less than 1.

    Args:
        x, dim: as in `operations.safe`.
        s: the sink's logit: a number, or a tensor that broadcasts with x where `dim` has size 1. Differentiable.
    Returns: like x; 0 everywhere in a row of nothing but −∞. Stable, because the largest of x and s is
    subtracted: the largest of x alone would let e^s overflow.
    """
    dtype = accumulator(x.dtype)
    s = torch.as_tensor(s, dtype=dtype, device=x.device)
    if x.numel() == 0:
        return torch.empty_like(x)
    m = torch.maximum(x.detach().amax(dim, keepdim=True).to(dtype), s.detach())
    e = (x - m).exp()
    return (e / (e.sum(dim, keepdim=True) + (s - m).exp())).to(x.dtype)


def softmax1(x: Tensor, dim: int = -1) -> Tensor:
    """`sink` at s = 0: e^x / (1 + Σ e^x)."""
    return sink(x, dim, s=0.0)
