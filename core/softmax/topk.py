"""The k largest probabilities and their columns, in PyTorch operations."""

from __future__ import annotations

import torch
from torch import Tensor

from .operations import BLOCK, absorb, blocks, initial_state, naive, safe


def online_topk(x: Tensor, k: int, dim: int = -1, *, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Algorithm 4 of Milakov & Gimelshein (arXiv:1805.02867), with blocks of columns for elements.

    Each block is merged into m, d and the k largest logits so far. The softmax is never written, and only k of its
    values are ever computed.

    Args:
        x, dim, block: as in `operations.online`.
        k: how many, at most the size of `dim`.
    Returns: probabilities in x's dtype and columns (int64), both shaped like x with `dim` of size k, largest
    first. Equal logits come in no promised order.
    Raises ValueError: k is larger than the size of `dim`.
    """
    if k > x.shape[dim]:
        raise ValueError(f"k = {k} of only {x.shape[dim]} columns")
    if x.numel() == 0:
        return safe_topk(x, k, dim)
    u, p = x.narrow(dim, 0, 0), torch.empty_like(x.narrow(dim, 0, 0), dtype=torch.int64)
    first_column = 0
    m, d = initial_state(x, dim)
    for x_b in blocks(x, dim, block):
        m, d = absorb(m, d, x_b, dim)
        u_b, p_b = x_b.topk(min(k, x_b.shape[dim]), dim)
        u, p = _larger((u, p), (u_b, p_b + first_column), k, dim)
        first_column += x_b.shape[dim]
    return ((u - m).exp() / d).to(x.dtype), p


def safe_topk(x: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Softmax, then a search in its result; arguments and returns as in `online_topk`."""
    return _largest(safe(x, dim), k, dim)


def naive_topk(x: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Naive softmax, then a search in its result; arguments and returns as in `online_topk`."""
    return _largest(naive(x, dim), k, dim)


def torch_topk(x: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
    """`torch.softmax`, then a search in its result; arguments and returns as in `online_topk`."""
    return _largest(torch.softmax(x, dim), k, dim)


def _largest(y: Tensor, k: int, dim: int) -> tuple[Tensor, Tensor]:
    v, z = y.topk(k, dim)
    return v, z


def _larger(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], k: int, dim: int) -> tuple[Tensor, Tensor]:
    """The k largest of two sets of (values, columns)."""
    u, p = (torch.cat(both, dim) for both in zip(a, b, strict=True))
    u, order = u.topk(min(k, u.shape[dim]), dim)
    return u, p.gather(dim, order)
