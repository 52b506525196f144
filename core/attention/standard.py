"""Attention as the textbook writes it: S = QKᵀ·scale, P = softmax(S), O = PV. The whole of S and P is in memory.

Algorithm 0 of Dao et al., "FlashAttention" (arXiv:2205.14135), in PyTorch operations, with everything that one may ask
of attention. In half precision every step is rounded to it, as in an eager model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arguments import Options


def standard(
    q: Tensor, k: Tensor, v: Tensor, options: Options, *, scale_first: bool = True
) -> tuple[Tensor, Tensor | None]:
    """O (B, H, Nq, d_v) and, if asked for, the log-sum-exp of the scores (B, H, Nq), float32 or float64.

    A row that may attend to nothing gives 0, and −∞ as its log-sum-exp.

    Args:
        scale_first: the queries are scaled (fewer numbers), or else the scores; the same but for rounding.
    """
    groups = q.shape[1] // k.shape[1]
    # A batch of (B, H_kv): the queries of all heads that share keys stand below each other.
    Q = torch.unflatten(q, 1, (k.shape[1], groups))
    K, V = k.unsqueeze(2), v.unsqueeze(2)
    S = (Q * options.scale) @ K.mT if scale_first else (Q @ K.mT).mul(options.scale)
    S = S.flatten(1, 2)
    if options.softcap is not None:
        S = options.softcap * torch.tanh(S / options.softcap)
    visible = _visible(q, k, options)
    if visible is not None:
        S = S.masked_fill_(~visible, -math.inf)
    if options.attn_mask is not None:
        mask = options.attn_mask
        S = S.masked_fill_(~mask, -math.inf) if mask.dtype == torch.bool else S + mask
    empty = None
    if _may_be_empty(q, k, options):
        empty = S.isneginf().all(-1, keepdim=True)
        # 0 / 0 in the softmax of such a row would be NaN, there and in every gradient.
        S = S.masked_fill_(empty, 0)
    if options.sink is not None:
        # One more logit of each head, whose probability goes nowhere.
        column = options.sink.to(S.dtype).view(1, -1, 1, 1).expand(*S.shape[:3], 1)
        S = torch.cat([S, column], -1)
    lse = _logsumexp(S) if options.return_lse else None
    P = torch.softmax(S, -1)[..., : k.shape[2]]
    if empty is not None:
        P = P.masked_fill(empty, 0)
        if lse is not None and options.sink is None:
            lse = lse.masked_fill(empty.squeeze(-1), -math.inf)
    if options.dropout_p:
        P = torch.dropout(P, options.dropout_p, train=True)
    O = (torch.unflatten(P, 1, (k.shape[1], groups)) @ V).flatten(1, 2)  # noqa: E741
    return O, lse


def _may_be_empty(q: Tensor, k: Tensor, options: Options) -> bool:
    """Whether there can be a row that may attend to nothing."""
    too_many_queries = options.causal and q.shape[2] > k.shape[2]
    return (
        too_many_queries
        or k.shape[2] == 0
        or options.attn_mask is not None
        or options.window_size is not None
    )


def _logsumexp(S: Tensor) -> Tensor:
    if S.shape[-1] == 0:
        S = S.new_full((*S.shape[:-1], 1), -math.inf)
    return torch.logsumexp(S if S.dtype == torch.float64 else S.float(), -1)


def _visible(q: Tensor, k: Tensor, options: Options) -> Tensor | None:
    """(Nq, Nk), True where position alone lets a query attend; None where it always does.

    The last query stands beside the last key (bottom-right): query i is at the key i + Nk − Nq.
    """
    if not options.causal and options.window_size is None:
        return None
    at = torch.arange(q.shape[2], device=q.device).unsqueeze(1) + k.shape[2] - q.shape[2]
    keys = torch.arange(k.shape[2], device=q.device)
    left, right = options.window_size or (-1, -1)
    if options.causal:
        right = 0
    visible = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
    if right >= 0:
        visible &= keys <= at + right
    if left >= 0:
        visible &= keys >= at - left
    return visible
