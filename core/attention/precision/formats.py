"""Numbers as a narrower format keeps them, held in a wider one, so that a CPU can go on calculating with them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

E4M3 = torch.float8_e4m3fn
LARGEST_E4M3 = 448.0


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x as `dtype` keeps it, in x's own dtype. Beyond 448 fp8 (e4m3) saturates, as the conversion on GPUs does."""
    if dtype is E4M3:
        x = x.clamp(-LARGEST_E4M3, LARGEST_E4M3)
    return x.to(dtype).to(x.dtype)


def quantised(x: Tensor, rows: int | None = None) -> Tensor:
    """x (N, d) in fp8 and back, with one scale for each block of `rows`; None: one scale for the whole."""
    blocks = [x] if rows is None else blocks_of(x, rows)
    parts = []
    for block in blocks:
        scale = block.abs().amax().clamp(min=torch.finfo(x.dtype).tiny) / LARGEST_E4M3
        parts.append(rounded(block / scale, E4M3) * scale)
    return torch.cat(parts)


def hadamard(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The orthogonal Hadamard matrix (n, n), by Sylvester: its entries are ±1/√n.

    Raises ValueError: n is no power of two.
    """
    if n < 1 or n & (n - 1):
        raise ValueError(f"a Hadamard matrix is made here for powers of two, not for {n}")
    H = torch.ones(1, 1, dtype=dtype, device="cpu")
    while H.shape[0] < n:
        H = torch.cat([torch.cat([H, H], 1), torch.cat([H, -H], 1)])
    return H / math.sqrt(n)


def incoherent(Q: Tensor, K: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Q and K (N, d) times M = D·H, D random signs: QM(KM)ᵀ = QKᵀ, and an outlier is spread over d numbers.

    "Incoherent processing" of FlashAttention-3 (arXiv:2407.08608).
    """
    d = Q.shape[1]
    signs = torch.randint(0, 2, (d,), generator=generator, device="cpu").to(Q.dtype) * 2 - 1
    M = signs[:, None] * hadamard(d, Q.dtype)
    return Q @ M, K @ M


def blocks_of(x: Tensor, rows: int) -> list[Tensor]:
    """x (N, …) in blocks of so many rows; the last may have fewer."""
    return [x[i : i + rows] for i in range(0, x.shape[0], rows)]
