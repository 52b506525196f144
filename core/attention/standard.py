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
from .dropout import kept_of_all, seeded
from .masked_products import HidingProduct, SeenProduct, SeenScores, all_finite, can_leak, may_overflow

# ruff: noqa: E741 — O is the paper's symbol


def standard(
    q: Tensor, k: Tensor, v: Tensor, options: Options, *, scale_first: bool = True
) -> tuple[Tensor, Tensor | None]:
    """O (B, H, Nq, d_v) and, if asked for, the log-sum-exp of the scores (B, H, Nq), float32 or float64.

    A row that may attend to nothing gives 0, and −∞ as its log-sum-exp. A NaN or an infinity in q, k or v stays with the
    rows that see it, in the output and in every gradient.

    Args:
        scale_first: the queries are scaled (fewer numbers), or else the scores; the same but for rounding.
    """
    options = seeded(options)
    O, lse = _textbook(q, k, v, options, scale_first, None)
    # The gradients are autograd's: what is bad in a hidden key and reaches nothing else shows in them alone.
    looked_at = (O, q, k) if O.requires_grad else (O,)
    hides = can_leak(options.attn_mask, band(q.shape[2], k.shape[2], options))
    # tanh of a score that is NaN, though q and k are finite, has no gradient of 0.
    caps = O.requires_grad and options.softcap is not None
    if hides and (not all_finite(*looked_at) or (caps and may_overflow(q, k, terms=q.shape[3]))):
        O, lse = _textbook(q, k, v, options, scale_first, _seen(q, k, options))
    return O, lse


def _textbook(
    q: Tensor, k: Tensor, v: Tensor, options: Options, scale_first: bool, seen: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """`standard`; with `seen` (B, H, Nq, Nk), what is not seen counts nothing whatever it is."""
    groups, place = q.shape[1] // k.shape[1], band(q.shape[2], k.shape[2], options)
    S = scores(q, k, options, scale_first=scale_first, seen=seen)
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
        assert options.dropout_seed is not None  # drawn above
        kept = kept_of_all(options.dropout_p, options.dropout_seed, (*q.shape[:3], k.shape[2]), q.device)
        P = P * kept.to(P.dtype) / (1 - options.dropout_p)
    P, V = torch.unflatten(P, 1, (k.shape[1], groups)), v.unsqueeze(2)
    if seen is None:
        hides = P.requires_grad and can_leak(options.attn_mask, place)
        return (HidingProduct.apply(P, V) if hides else P @ V).flatten(1, 2), lse  # type: ignore[no-untyped-call]
    V, seen = V.expand(-1, -1, groups, -1, -1), torch.unflatten(seen, 1, (-1, groups))
    return SeenProduct.apply(P, V, seen).flatten(1, 2), lse  # type: ignore[no-untyped-call]


def scores(
    q: Tensor, k: Tensor, options: Options, *, scale_first: bool = True, seen: Tensor | None = None
) -> Tensor:
    """S (B, H, Nq, Nk) as the softmax gets it, but for a sink: scaled, capped, added to, and −∞ where it is hidden."""
    groups = q.shape[1] // k.shape[1]
    # A batch of (B, H_kv): the queries of all heads that share keys stand below each other.
    Q, K = torch.unflatten(q, 1, (k.shape[1], groups)), k.unsqueeze(2)
    Q = Q * options.scale if scale_first else Q
    if seen is None:
        S = Q @ K.mT
    else:
        K = K.expand(-1, -1, groups, -1, -1)
        S = SeenScores.apply(Q, K, torch.unflatten(seen, 1, (-1, groups)))  # type: ignore[no-untyped-call]
    S = (S if scale_first else S.mul(options.scale)).flatten(1, 2)
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
    return S if seen is None else S.where(seen, -math.inf)  # −∞ that was added to a NaN


def _seen(q: Tensor, k: Tensor, options: Options) -> Tensor:
    """(B, H, Nq, Nk), True where a row may see a key."""
    seen = torch.ones(*q.shape[:3], k.shape[2], dtype=torch.bool, device=q.device)
    visible, mask = (
        band(q.shape[2], k.shape[2], options).visible(q.shape[2], k.shape[2], q.device),
        options.attn_mask,
    )
    if visible is not None:
        seen &= visible
    if mask is not None:
        seen &= mask if mask.dtype == torch.bool else ~mask.isneginf()
    return seen


def _logsumexp(S: Tensor) -> Tensor:
    if S.shape[-1] == 0:
        S = S.new_full((*S.shape[:-1], 1), -math.inf)
    return torch.logsumexp(S if S.dtype == torch.float64 else S.float(), -1)


def _alibi(slopes: Tensor, place: Band, S: Tensor) -> Tensor:
    """What is taken off each score: the head's slope times the distance from the query's own place."""
    far = distances(range(S.shape[2]), range(S.shape[3]), place.shift, slopes)
    return (slopes[:, :, None, None] * far).to(S.dtype)
