"""The options of attention that an experiment's parameters describe, and two other ways to give them.

A kernel that lacks a window, ALiBi or packed sequences can be given an equivalent mask (`as_mask`): it then computes all
scores and throws the masked ones away. Packed sequences are given by where they begin (`packed`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .alibi import alibi_slopes
from .arguments import Options
from .band import band_of, distances
from .params import Params
from .varlen import attention_varlen

Function = Callable[[Tensor, Tensor, Tensor, Options], Any]


def options_of(params: Params, device: str) -> Options:
    """The options that `params` describe, the same for all variants of a point.

    Sinks are 0, one more key of no particular weight; three in four places of a mask may attend.
    """
    dtype = getattr(torch, params.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    keys = params.keys or params.seq_len
    generator = torch.Generator().manual_seed(2)
    mask = None
    if params.mask:
        mask = (
            torch.rand(1, 1, params.seq_len, keys, generator=generator, dtype=torch.float32, device="cpu")
            < 0.75
        )
        mask[..., 0] = True
        if params.mask == "additive":
            mask = (
                torch.randn(mask.shape, generator=generator, dtype=torch.float32, device="cpu")
                .to(dtype)
                .masked_fill_(~mask, -math.inf)
            )
        mask = mask.to(device)
    if params.sequences:
        number = torch.arange(len(lengths(params)), device=device)
        of = number.repeat_interleave(torch.tensor(lengths(params), device=device))
        mask = (of.unsqueeze(1) == of)[None, None]
    return Options(
        causal=params.causal,
        scale=params.head_dim**-0.5,
        attn_mask=mask,
        window_size=None if params.window_part is None else (keys // params.window_part, 0),
        softcap=params.softcap,
        sink=torch.zeros(params.heads, dtype=dtype, device=device) if params.sink else None,
        dropout_p=params.dropout,
        dropout_seed=0 if params.dropout else None,
        return_lse=params.lse,
        alibi_slopes=alibi_slopes(params.heads).to(device, wide)[None] if params.alibi else None,
    )


def lengths(params: Params) -> list[int]:
    """Of the packed sequences: 1, 2, 3, … parts of `seq_len`, as uneven as texts are."""
    assert params.sequences is not None
    n = params.sequences
    ends = [round(params.seq_len * i * (i + 1) / (n * (n + 1))) for i in range(n + 1)]
    return [stop - start for start, stop in zip(ends, ends[1:], strict=False)]


def packed(of: Sequence[int], backend: str) -> Function:
    """Attention of one packed row of sequences, in the contract's layout; its options' mask says the same and is not
    used. Fewer queries are the last ones."""
    cu_seqlens = torch.tensor([0, *of], device="cpu").cumsum(0)

    def function(q: Tensor, k: Tensor, v: Tensor, options: Options) -> Tensor:
        # The battery looks at the last queries alone: sequences before them have none.
        cu_seqlens_q = (cu_seqlens - (k.shape[2] - q.shape[2])).clamp_min(0)
        Q, K, V = (x[0].transpose(0, 1) for x in (q, k, v))
        O = attention_varlen(  # noqa: E741
            Q, K, V, cu_seqlens_q, cu_seqlens, causal=options.causal, scale=options.scale, backend=backend
        )
        return O.transpose(0, 1).unsqueeze(0)

    return function


def as_mask(function: Function) -> Function:
    """`function` with the band and ALiBi in its mask, which is made once for each shape, before anything is timed."""
    masks: dict[tuple[int, int], Tensor] = {}

    def masked(q: Tensor, k: Tensor, v: Tensor, options: Options) -> Any:
        at = q.shape[2], k.shape[2]
        if at not in masks:
            masks[at] = _mask(*at, q, options)
        left = replace(
            options, causal=False, window_size=None, alibi_slopes=None, shift=None, attn_mask=masks[at]
        )
        return function(q, k, v, left)

    return masked


def _mask(queries: int, keys: int, q: Tensor, options: Options) -> Tensor:
    band = band_of(queries, keys, options)
    mask = band.mask(queries, keys, q.device)
    mask = torch.ones(queries, keys, dtype=torch.bool, device=q.device) if mask is None else mask
    attn_mask, slopes = options.attn_mask, options.alibi_slopes
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        mask, attn_mask = mask & attn_mask, None
    if attn_mask is None and slopes is None:
        return mask.view((1,) * (4 - mask.dim()) + mask.shape)
    added = q.new_zeros(1, 1, queries, keys) if attn_mask is None else attn_mask
    if slopes is not None:
        far = distances(range(queries), range(keys), band.shift, slopes)
        added = added - (slopes[:, :, None, None] * far).to(q.dtype)
    return added.masked_fill(~mask, -math.inf)
