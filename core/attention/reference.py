"""The papers' algorithms on the matrices of one head, line by line, with their symbols. Nothing here is fast.

    Q (Nq, d), K (Nk, d), V (Nk, d_v)     one head; Q is scaled by the caller, as in the papers
    S, P, O                               scores, probabilities, output
    B_r, B_c, T_r, T_c                    rows and columns of a tile, and how many tiles there are of each
    m, ℓ                                  the maximum of a row of scores so far, and the sum of e^(S − m) so far
    m̃_ij, P̃_ij, ℓ̃_ij                     the same of one tile alone

Algorithm 0 and Algorithm 1 of Dao, Fu, Ermon, Rudra & Ré, "FlashAttention" (arXiv:2205.14135); numbers are kept in the
dtype of Q, so a float64 Q gives a float64 answer. A causal Q stands with its last row beside the last row of K.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# ruff: noqa: E741 — ℓ and O are the papers' symbols


def algorithm_0(Q: Tensor, K: Tensor, V: Tensor, *, causal: bool = False) -> Tensor:
    """Standard attention: O (Nq, d_v)."""
    S = Q @ K.mT
    if causal:
        S = _mask(S, 0, 0, K.shape[0] - Q.shape[0])
    P = _rows_of_zeros(torch.softmax(S, -1), S)
    return P @ V


def algorithm_1(
    Q: Tensor, K: Tensor, V: Tensor, *, B_r: int, B_c: int, causal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """FlashAttention's forward pass: O (Nq, d_v), and ℓ and m (Nq,). Line numbers are the paper's.

    Rows that see no key have O = 0, ℓ = 0 and m = −∞.
    """
    (N_q, _), N_k = Q.shape, K.shape[0]
    O, ℓ, m = Q.new_zeros(N_q, V.shape[1]), Q.new_zeros(N_q), Q.new_full((N_q,), -math.inf)  # 2
    rows = [slice(i, min(i + B_r, N_q)) for i in range(0, N_q, B_r)]  # 3, 4: T_r blocks of Q, O, ℓ and m
    columns = [slice(j, min(j + B_c, N_k)) for j in range(0, N_k, B_c)]  # 3: T_c blocks of K and V
    for j in columns:  # 5
        K_j, V_j = K[j], V[j]  # 6: load
        for i in rows:  # 7
            Q_i, O_i, ℓ_i, m_i = Q[i], O[i], ℓ[i], m[i]  # 8: load
            S_ij = Q_i @ K_j.mT  # 9
            if causal:
                S_ij = _mask(S_ij, i.start, j.start, N_k - N_q)
            m̃_ij = S_ij.amax(1)  # 10
            P̃_ij = torch.exp(S_ij - _or_zero(m̃_ij)[:, None])
            ℓ̃_ij = P̃_ij.sum(1)
            m_new = torch.maximum(m_i, m̃_ij)  # 11
            of_old, of_tile = torch.exp(m_i - _or_zero(m_new)), torch.exp(m̃_ij - _or_zero(m_new))
            ℓ_new = of_old * ℓ_i + of_tile * ℓ̃_ij
            O[i] = _divide(  # 12: write
                (ℓ_i * of_old)[:, None] * O_i + of_tile[:, None] * (P̃_ij @ V_j), ℓ_new[:, None]
            )
            ℓ[i], m[i] = ℓ_new, m_new  # 13: write
    return O, ℓ, m  # 16


def log_sum_exp(ℓ: Tensor, m: Tensor) -> Tensor:
    """L = m + log ℓ, the one number per row that FlashAttention-2 (arXiv:2307.08691, §3.1) keeps in place of both."""
    return m + ℓ.log()


def _mask(S_ij: Tensor, i: int, j: int, shift: int) -> Tensor:
    """−∞ where the key j + column comes after key i + row + shift, which the query i + row stands beside."""
    row = torch.arange(i, i + S_ij.shape[0], device=S_ij.device)[:, None]
    column = torch.arange(j, j + S_ij.shape[1], device=S_ij.device)
    return S_ij.masked_fill(column > row + shift, -math.inf)


def _or_zero(m: Tensor) -> Tensor:
    """m, and 0 where it is −∞, before a row's first key: every e^(−∞ − m) is 0 then."""
    return m.masked_fill(m.isneginf(), 0)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0, before a row's first key."""
    return torch.where(b == 0, torch.zeros_like(a), a / b)


def _rows_of_zeros(P: Tensor, S: Tensor) -> Tensor:
    return P.masked_fill(S.isneginf().all(-1, keepdim=True), 0)
