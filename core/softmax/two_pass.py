"""Softmax without a maximum, in PyTorch operations: Dukhan & Ablavatski (arXiv:2001.04438).

    x = n·ln 2 + r, n an integer        e^x = p·2^n,  p = e^r

e^x overflows, p and n apart do not. The first pass adds such pairs block by block, always to the larger exponent; the
second computes the pairs again and divides. Against the online form: exponents of 2 stand for maxima.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .operations import BLOCK, accumulator, blocks, check_floating, safe

LIMIT = 11_000.0
"""n·ln 2 is subtracted in two parts, exactly in float32 up to |n| = 2^14, |x| = 11,356. Rows whose largest logit lies
beyond are left to `safe`; smaller logits than −LIMIT are taken for it, and beside anything larger come out as 0."""

_LN2_HIGH = 0.693359375  # nine bits: n times it is exact
_LN2_LOW = math.log(2) - _LN2_HIGH


def two_pass(x: Tensor, dim: int = -1, *, block: int = BLOCK) -> Tensor:
    """The two-pass algorithm with blocks of columns for elements. Arguments and returns as in `operations.online`."""
    check_floating(x)
    if x.numel() == 0:
        return torch.empty_like(x)
    k, s = _no_pair(x, dim)
    for x_b in blocks(x, dim, block):
        p, n = pair(x_b)
        k_new = torch.maximum(k, n.amax(dim, keepdim=True))
        s = torch.ldexp(s, k - k_new) + torch.ldexp(p, n - k_new).sum(dim, keepdim=True)
        k = k_new
    quotients = []
    for x_b in blocks(x, dim, block):
        p, n = pair(x_b)
        quotients.append((torch.ldexp(p, n - k) / s).to(x.dtype))
    y = torch.cat(quotients, dim) if x.dim() else quotients[0]
    beyond = ~(
        k.abs() < (LIMIT - 760) / math.log(2)
    )  # NaN too; 760, so that −LIMIT is 0 beside the rest in float64
    return torch.where(beyond, safe(x, dim), y) if beyond.any() else y


def pair(x: Tensor) -> tuple[Tensor, Tensor]:
    """(p, n) with e^x = p·2^n, both shaped like x, in float32 for halves; n is a constant to the gradient."""
    x = x.to(accumulator(x.dtype)).clamp(-LIMIT, LIMIT)
    n = (x.detach() * math.log2(math.e)).round()
    return ((x - n * _LN2_HIGH) - n * _LN2_LOW).exp(), n


def _no_pair(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """(k, s) of nothing: a sum of 0 at an exponent below that of any pair."""
    shape = list(x.shape)
    if shape:
        shape[dim] = 1
    s = torch.zeros(shape, dtype=accumulator(x.dtype), device=x.device)
    return torch.full_like(s, -2 * LIMIT), s
