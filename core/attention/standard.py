"""Attention as the textbook writes it: S = QKᵀ·scale, P = softmax(S), O = PV. The whole of S and P is in memory.

Algorithm 0 of Dao et al., "FlashAttention" (arXiv:2205.14135), in PyTorch operations, with every option. In half precision every step is rounded to it, as in an eager model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arguments import Options
from .band import Band, band_of, distances
from .dropout import kept_of_all, seeded
from .masked_products import (
    MaskedProduct,
    MaskedScores,
    OverflowSafeProduct,
    all_finite,
    can_leak,
    may_overflow,
)

# ruff: noqa: E741 — O is the paper's symbol


def standard(
    q: Tensor, k: Tensor, v: Tensor, options: Options, *, scale_first: bool = True
) -> tuple[Tensor, Tensor | None]:
    """O (B, H, Nq, d_v) and, with `return_lse`, the log-sum-exp of the scores (B, H, Nq), float32 or float64.

    A row that may attend to nothing gives 0, and −∞ as its log-sum-exp. A NaN or an infinity in q, k or v stays
    with the rows that attend to it, in the output and in every gradient.

    With `scale_first` the queries are scaled (fewer numbers), or else the scores; the same but for rounding.
    """
    options = seeded(options)
    O, lse = _textbook(q, k, v, options, scale_first, None)
    # The gradients are autograd's: a NaN in a masked key that reaches nothing else shows in them alone.
    looked_at = (O, q, k) if O.requires_grad else (O,)
    masks = can_leak(options.attn_mask, band_of(q.shape[2], k.shape[2], options))
    # tanh of a score that is NaN, though q and k are finite, has no gradient of 0.
    caps = O.requires_grad and options.softcap is not None
    if masks and (not all_finite(*looked_at) or (caps and may_overflow(q, k, terms=q.shape[3]))):
        O, lse = _textbook(q, k, v, options, scale_first, _mask(q, k, options))
    return O, lse


def _textbook(
    q: Tensor, k: Tensor, v: Tensor, options: Options, scale_first: bool, mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """`standard`; with `mask` (B, H, Nq, Nk, True: may attend), masked keys count nothing, even where they are NaN."""
    groups, band = q.shape[1] // k.shape[1], band_of(q.shape[2], k.shape[2], options)
    S = scores(q, k, options, scale_first=scale_first, mask=mask)
    if options.sink is not None:
        # One more logit of each head, which has no value vector.
        column = options.sink.to(S.dtype).view(1, -1, 1, 1).expand(*S.shape[:3], 1)
        S = torch.cat([S, column], -1)
    empty = None
    if options.attn_mask is not None or len(band.queries(q.shape[2], k.shape[2])) < q.shape[2]:
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
    if mask is None:
        masks = P.requires_grad and can_leak(options.attn_mask, band)
        return (OverflowSafeProduct.apply(P, V) if masks else P @ V).flatten(1, 2), lse  # type: ignore[no-untyped-call]
    V, mask = V.expand(-1, -1, groups, -1, -1), torch.unflatten(mask, 1, (-1, groups))
    return MaskedProduct.apply(P, V, mask).flatten(1, 2), lse  # type: ignore[no-untyped-call]


def scores(
    q: Tensor, k: Tensor, options: Options, *, scale_first: bool = True, mask: Tensor | None = None
) -> Tensor:
    """S (B, H, Nq, Nk) as the softmax gets it, but for a sink: scaled, capped, with ALiBi and mask; −∞ where masked.

    The mask (B, H, Nq, Nk) is true where a row may attend; given where a masked key may be NaN or infinite.
    """
    groups = q.shape[1] // k.shape[1]
    # A batch of (B, H_kv): the queries of all heads that share keys stand below each other.
    Q, K = torch.unflatten(q, 1, (k.shape[1], groups)), k.unsqueeze(2)
    Q = Q * options.scale if scale_first else Q
    if mask is None:
        S = Q @ K.mT
    else:
        K = K.expand(-1, -1, groups, -1, -1)
        S = MaskedScores.apply(Q, K, torch.unflatten(mask, 1, (-1, groups)))  # type: ignore[no-untyped-call]
    S = (S if scale_first else S.mul(options.scale)).flatten(1, 2)
    if options.softcap is not None:
        S = options.softcap * torch.tanh(S / options.softcap)
    band = band_of(q.shape[2], k.shape[2], options)
    if options.alibi_slopes is not None:
        S = S - _alibi(options.alibi_slopes, band, S)
    in_band, attn_mask = band.mask(q.shape[2], k.shape[2], q.device), options.attn_mask
    if in_band is not None:
        S = S.masked_fill_(~in_band, -math.inf)
    if attn_mask is not None:
        S = S.masked_fill_(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else S + attn_mask
    return S if mask is None else S.where(mask, -math.inf)  # −∞ that was added to a NaN


def _mask(q: Tensor, k: Tensor, options: Options) -> Tensor:
    """(B, H, Nq, Nk), True where a row may attend to a key."""
    mask = torch.ones(*q.shape[:3], k.shape[2], dtype=torch.bool, device=q.device)
    in_band = band_of(q.shape[2], k.shape[2], options).mask(q.shape[2], k.shape[2], q.device)
    attn_mask = options.attn_mask
    if in_band is not None:
        mask &= in_band
    if attn_mask is not None:
        mask &= attn_mask if attn_mask.dtype == torch.bool else ~attn_mask.isneginf()
    return mask


def _logsumexp(S: Tensor) -> Tensor:
    if S.shape[-1] == 0:
        S = S.new_full((*S.shape[:-1], 1), -math.inf)
    return torch.logsumexp(S if S.dtype == torch.float64 else S.float(), -1)


def _alibi(slopes: Tensor, band: Band, S: Tensor) -> Tensor:
    """What is taken off each score: the head's slope times the distance from the query's position."""
    far = distances(range(S.shape[2]), range(S.shape[3]), band.shift, slopes)
    return (slopes[:, :, None, None] * far).to(S.dtype)
