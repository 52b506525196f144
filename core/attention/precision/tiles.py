"""Flash attention and standard attention on one head, each with chosen roundings.

Q (Nq, d), K (Nk, d), V (Nk, d_v)     as the format under test keeps them, in a dtype that calculates better
S, P, m, ℓ, O                          the papers' symbols; S and m count in powers of two
τ                                      how much a maximum may grow, in powers of two, before O and ℓ are rescaled
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .formats import blocks_of, rounded

# ruff: noqa: E741 — ℓ and O are the papers' symbols


@dataclass(frozen=True)
class Arithmetic:
    """How narrow what is.

    Attributes:
        S: the format of scores; None is the dtype of Q.
        P: the format of probabilities as they enter the product with V; None is the dtype of Q.
        kept: the format of O and ℓ between tiles, and of the factor that rescales them; None is the dtype of Q.
        keys: keys of a tile.
        τ: 0 rescales whenever the maximum grows; FlashAttention-4 (arXiv:2603.05451, §3.1.4) takes 8 for 16 bits.
        offset: P is 2^(S − m + offset). FlashAttention-4's code takes 8 for fp8, to use its whole range.
    """

    S: torch.dtype | None = None
    P: torch.dtype | None = None
    kept: torch.dtype | None = None
    keys: int = 128
    τ: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True)
class Tiled:
    """O (Nq, d_v); of the rescalings after the first tile, one a row and tile, how many were skipped; the largest P
    before its rounding."""

    O: Tensor
    rescalings: int
    skipped: int
    largest: float


def flash(Q: Tensor, K: Tensor, V: Tensor, how: Arithmetic) -> Tiled:
    """Tile by tile, the maximum following only where it grows by more than τ. ℓ sums P before its rounding, as the
    kernels do: what saturates in P is missing in O and not in ℓ."""

    def kept(x: Tensor) -> Tensor:
        return x if how.kept is None else rounded(x, how.kept)

    scale = math.log2(math.e) / math.sqrt(Q.shape[1])
    m = Q.new_full((Q.shape[0], 1), -math.inf)
    ℓ, O = Q.new_zeros(Q.shape[0], 1), Q.new_zeros(Q.shape[0], V.shape[1])
    rescalings = skipped = 0
    largest = 0.0
    for K_j, V_j in zip(blocks_of(K, how.keys), blocks_of(V, how.keys), strict=True):
        S = Q @ K_j.mT * scale
        S = S if how.S is None else rounded(S, how.S)
        m_new = torch.maximum(m, S.amax(1, keepdim=True))
        stays = m_new - m <= how.τ  # never for the first tile, where m = −∞
        if m.isfinite().all():
            rescalings += stays.numel()
            skipped += int(stays.sum())
        m_new = torch.where(stays, m, m_new)
        P = torch.exp2(S - m_new + how.offset)
        largest = max(largest, float(P.max()))
        α = kept(torch.exp2(m - m_new))
        ℓ = kept(ℓ * α + P.sum(1, keepdim=True))
        O = kept(O * α + (P if how.P is None else rounded(P, how.P)) @ V_j)
        m = m_new
    return Tiled(O / ℓ, rescalings, skipped, largest)


def standard(Q: Tensor, K: Tensor, V: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """O (Nq, d_v), with S and P rounded to `dtype`, as they are where each is written to memory; None: not rounded."""
    S = Q @ K.mT / math.sqrt(Q.shape[1])
    P = torch.softmax(S if dtype is None else rounded(S, dtype), -1)
    return (P if dtype is None else rounded(P, dtype)) @ V
