"""Attention as the textbook writes it: S = QKᵀ·scale, P = softmax(S), O = PV. The whole of S and P is in memory.

Algorithm 0 of Dao et al., "FlashAttention" (arXiv:2205.14135), in PyTorch operations, with everything that one may ask
of attention. In half precision every step is rounded to it, as in an eager model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arguments import Options
from .band import Band, band, distances
from .dropout import drawn_seed, kept_of_all


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
    place = band(q.shape[2], k.shape[2], options)
    if options.alibi_slopes is not None:
        S = S - _alibi(options.alibi_slopes, place, S)
    visible = place.visible(q.shape[2], k.shape[2], q.device)
    if visible is not None:
        S = S.masked_fill_(~visible, -math.inf)
    if options.attn_mask is not None:
        mask = options.attn_mask
        S = S.masked_fill_(~mask, -math.inf) if mask.dtype == torch.bool else S + mask
    if options.sink is not None:
        # One more logit of each head, whose probability goes nowhere.
        column = options.sink.to(S.dtype).view(1, -1, 1, 1).expand(*S.shape[:3], 1)
        S = torch.cat([S, column], -1)
    empty = None
    if options.attn_mask is not None or len(place.queries(q.shape[2], k.shape[2])) < q.shape[2]:
        empty = S.isneginf().all(-1, keepdim=True)
        # 0 / 0 in the softmax of such a row would be NaN, there and in every gradient.
        S = S.masked_fill_(empty, 0)
    lse = _logsumexp(S) if options.return_lse else None
    P = torch.softmax(S, -1)[..., : k.shape[2]]
    if empty is not None:
        P = P.masked_fill(empty, 0)
        if lse is not None:
            lse = lse.masked_fill(empty.squeeze(-1), -math.inf)
    if options.dropout_p:
        seed = drawn_seed() if options.dropout_seed is None else options.dropout_seed
        kept = kept_of_all(options.dropout_p, seed, (*q.shape[:3], k.shape[2]), q.device)
        P = P * kept.to(P.dtype) / (1 - options.dropout_p)
    O = (torch.unflatten(P, 1, (k.shape[1], groups)) @ V).flatten(1, 2)  # noqa: E741
    return O, lse


def _logsumexp(S: Tensor) -> Tensor:
    if S.shape[-1] == 0:
        S = S.new_full((*S.shape[:-1], 1), -math.inf)
    return torch.logsumexp(S if S.dtype == torch.float64 else S.float(), -1)


def _alibi(slopes: Tensor, place: Band, S: Tensor) -> Tensor:
    """What is taken off each score: the head's slope times the distance from the query's own place."""
    far = distances(range(S.shape[2]), range(S.shape[3]), place.shift, slopes)
    return (slopes[:, :, None, None] * far).to(S.dtype)
