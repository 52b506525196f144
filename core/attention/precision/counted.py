"""What is no matrix product in Algorithm 1 of FlashAttention and of FlashAttention-2, counted while they run.

FlashAttention (arXiv:2205.14135) divides O by ℓ in every tile; FlashAttention-2 (arXiv:2307.08691) keeps O undivided and
divides once, at the end. Counted are operations on numbers of O: each is one multiplication or division.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .formats import blocks_of

# ruff: noqa: E741 — ℓ and O are the papers' symbols


@dataclass(frozen=True)
class Counted:
    """O (Nq, d_v), and how many of its numbers were divided and multiplied."""

    O: Tensor
    divisions: int
    rescalings: int


def flash_1(Q: Tensor, K: Tensor, V: Tensor, keys: int) -> Counted:
    """FlashAttention, lines 9 to 13 for each tile: (ℓ·e^(m − m_new)·O + e^(m̃ − m_new)·P̃V) / ℓ_new."""
    m, ℓ = Q.new_full((Q.shape[0], 1), -math.inf), Q.new_zeros(Q.shape[0], 1)
    O = Q.new_zeros(Q.shape[0], V.shape[1])
    divisions = rescalings = 0
    for K_j, V_j in zip(blocks_of(K, keys), blocks_of(V, keys), strict=True):
        S = Q @ K_j.mT / math.sqrt(Q.shape[1])
        m̃ = S.amax(1, keepdim=True)
        P̃ = torch.exp(S - m̃)
        m_new = torch.maximum(m, m̃)
        of_old, of_tile = torch.exp(m - m_new), torch.exp(m̃ - m_new)
        ℓ_new = of_old * ℓ + of_tile * P̃.sum(1, keepdim=True)
        O = (ℓ * of_old * O + of_tile * (P̃ @ V_j)) / ℓ_new
        divisions += O.numel()
        rescalings += 2 * O.numel()
        m, ℓ = m_new, ℓ_new
    return Counted(O, divisions, rescalings)


def flash_2(Q: Tensor, K: Tensor, V: Tensor, keys: int) -> Counted:
    """FlashAttention-2, lines 8 to 10 for each tile and line 12 at the end."""
    m, ℓ = Q.new_full((Q.shape[0], 1), -math.inf), Q.new_zeros(Q.shape[0], 1)
    O = Q.new_zeros(Q.shape[0], V.shape[1])
    rescalings = 0
    for K_j, V_j in zip(blocks_of(K, keys), blocks_of(V, keys), strict=True):
        S = Q @ K_j.mT / math.sqrt(Q.shape[1])
        m_new = torch.maximum(m, S.amax(1, keepdim=True))
        P̃ = torch.exp(S - m_new)
        α = torch.exp(m - m_new)
        ℓ, O, m = α * ℓ + P̃.sum(1, keepdim=True), α * O + P̃ @ V_j, m_new
        rescalings += O.numel()
    return Counted(O / ℓ, O.numel(), rescalings)
