"""Attention in chunks, by Rabe & Staats, "Self-attention does not need O(n²) memory" (arXiv:2112.05682).

Each chunk of queries walks over the chunks of keys, which leave Σ e^(s − m)·v, Σ e^(s − m) and m. Each step is a
checkpoint: the backward pass computes its scores again instead of keeping them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .formats import blocks_of

# ruff: noqa: E741 — O is the papers' symbol


def chunked(Q: Tensor, K: Tensor, V: Tensor, *, queries: int = 1024, keys: int = 4096) -> Tensor:
    """O (Nq, d_v) of Q (Nq, d), K (Nk, d) and V (Nk, d_v), differentiable; the paper's sizes of chunks."""
    return torch.cat([_of_queries(Q_i, K, V, keys) for Q_i in blocks_of(Q, queries)])


def _of_queries(Q_i: Tensor, K: Tensor, V: Tensor, keys: int) -> Tensor:
    values, weights, m = Q_i.new_zeros(Q_i.shape[0], V.shape[1]), Q_i.new_zeros(Q_i.shape[0], 1), None
    for K_j, V_j in zip(blocks_of(K, keys), blocks_of(V, keys), strict=True):
        if torch.is_grad_enabled() and Q_i.requires_grad:
            v, w, m_j = checkpoint(_summary, Q_i, K_j, V_j, use_reentrant=False, preserve_rng_state=False)
        else:
            v, w, m_j = _summary(Q_i, K_j, V_j)
        m_new = m_j if m is None else torch.maximum(m, m_j)
        of_old = torch.zeros_like(m_new) if m is None else torch.exp(m - m_new)
        of_chunk = torch.exp(m_j - m_new)
        values, weights, m = values * of_old + v * of_chunk, weights * of_old + w * of_chunk, m_new
    return values / weights


def _summary(Q_i: Tensor, K_j: Tensor, V_j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    S = Q_i @ K_j.mT
    S.mul_(1 / math.sqrt(Q_i.shape[1]))
    m = S.detach().amax(1, keepdim=True)  # any m gives the same O, so none of its gradient
    P = S.sub_(m).exp_()
    return P @ V_j, P.sum(1, keepdim=True), m


def standard(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """O (Nq, d_v), with the whole of S: one matrix of n² at a time, two for gradients, as the paper's tables have it."""
    O: Tensor = _Standard.apply(Q, K, V)  # type: ignore[no-untyped-call]
    return O


class _Standard(torch.autograd.Function):
    """What PyTorch's own softmax holds a third matrix for is done in place."""

    @staticmethod
    def forward(ctx: Any, Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        P = Q @ K.mT
        P.mul_(1 / math.sqrt(Q.shape[1]))
        P.sub_(P.amax(1, keepdim=True)).exp_()
        P.div_(P.sum(1, keepdim=True))
        O = P @ V
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(Q, K, V, P, O)
        return O

    @staticmethod
    def backward(ctx: Any, *dOs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (dO,), (Q, K, V, P, O) = dOs, ctx.saved_tensors
        dV = P.mT @ dO
        dS = dO @ V.mT
        dS.sub_((dO * O).sum(1, keepdim=True)).mul_(P).mul_(1 / math.sqrt(Q.shape[1]))
        return dS @ K, dS.mT @ Q, dV
