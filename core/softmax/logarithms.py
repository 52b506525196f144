"""log-softmax and logsumexp in PyTorch operations; the plain names are the online forms.

All of them follow from m and d: logsumexp = m + log d and log-softmax = (x − m) − log d. The second keeps its brackets,
since with m = 10,000 a sum m + log d in float32 would lose the last three digits of log d.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .operations import BLOCK, accumulator, check_floating, needs_gradient, normalizer


def log_softmax(x: Tensor, dim: int = -1, *, block: int = BLOCK) -> Tensor:
    """The logarithm of softmax, stable, in one pass for m and d and one for the result.

    Arguments as in `operations.online`.
    Returns: log-probabilities, like x; −∞ where x is −∞, NaN in a row of nothing but −∞.
    """
    m, d = normalizer(x, dim, block=block)
    return _subtract_both(x, m, d.log())


def logsumexp(x: Tensor, dim: int = -1, *, block: int = BLOCK) -> Tensor:
    """log Σ e^x, stable, in one pass over x.

    Arguments as in `operations.online`.
    Returns: x's shape without `dim`, in x's dtype; −∞ for a row of nothing but −∞ or of no elements at all.
    """
    m, d = normalizer(x, dim, block=block)
    return _from_pair(m, d, dim).to(x.dtype)


def safe_log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2's form of `log_softmax`: the maximum in a pass of its own."""
    check_floating(x)
    if x.numel() == 0:
        return torch.empty_like(x)
    m, d = _safe_normalizer(x, dim)
    return _subtract_both(x, m, d.log())


def safe_logsumexp(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2's form of `logsumexp`; x has at least one element along `dim`."""
    m, d = _safe_normalizer(x, dim)
    return _from_pair(m, d, dim).to(x.dtype)


def naive_log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """x − log Σ e^x, in x's own dtype; −∞ where e^x overflows."""
    check_floating(x)
    return x - x.exp().sum(dim, keepdim=True).log()


def naive_logsumexp(x: Tensor, dim: int = -1) -> Tensor:
    """log Σ e^x, in x's own dtype; +∞ where e^x overflows."""
    check_floating(x)
    return x.exp().sum(dim).log()


def _safe_normalizer(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """m and d of whole rows. m is kept finite, so that rows of nothing but −∞ sum to 0 and not to NaN."""
    check_floating(x)
    m = x.detach().amax(dim, keepdim=True).clamp_(min=torch.finfo(x.dtype).min)
    dtype = accumulator(x.dtype)
    return m.to(dtype), (x - m).exp_().sum(dim, keepdim=True, dtype=dtype)


def _subtract_both(x: Tensor, m: Tensor, log_d: Tensor) -> Tensor:
    """(x − m) − log d in x's dtype."""
    shifted = x - m
    return (shifted - log_d if needs_gradient(shifted) else shifted.sub_(log_d)).to(x.dtype)


def _from_pair(m: Tensor, d: Tensor, dim: int) -> Tensor:
    """m + log d without the reduced dimension; +∞ where the maximum is +∞, although d, with its ∞ − ∞, is NaN."""
    reduced = torch.where(m == math.inf, m, m + d.log())
    return reduced.squeeze(dim) if reduced.dim() else reduced
