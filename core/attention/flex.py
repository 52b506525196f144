"""PyTorch's flex_attention, with the options as a `score_mod` and a `mask_mod`.

On a GPU it is compiled to a kernel for these two functions. On a CPU it runs uncompiled and holds all scores in memory:
compiled there (torch 2.13) it takes 18 s to compile, returns no log-sum-exp, and was slower. It has no backward pass on a
CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..trial import Refused
from .arguments import Options
from .band import Band, band_of


def flex(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor | None]:
    """O (B, H, Nq, d_v) and, with `return_lse`, the log-sum-exp (B, H, Nq), float32 or float64.

    Raises Refused: gradients on a CPU.
    """
    from torch.nn.attention.flex_attention import AuxRequest, create_block_mask

    wants_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    if wants_gradient and q.device.type == "cpu":
        raise Refused("flex has no gradients on a CPU; they are in standard, flash, flash-numba, sdpa")
    if 0 in (q.shape[2], k.shape[2]):
        lse = q.new_full(q.shape[:3], -math.inf, dtype=torch.promote_types(q.dtype, torch.float32))
        return q.new_zeros(*q.shape[:3], v.shape[3]), lse
    band = band_of(q.shape[2], k.shape[2], options)
    mask = options.attn_mask
    block_mask = None
    if not band.is_everything:
        block_mask = create_block_mask(
            _mask_mod(band), None, None, q.shape[2], k.shape[2], device=q.device.type
        )
    changes = mask is not None or options.softcap is not None or options.alibi_slopes is not None
    run = _compiled() if q.device.type != "cpu" else _as_it_is()
    found = run(
        q,
        k,
        v,
        score_mod=_score_mod(options, band) if changes else None,
        block_mask=block_mask,
        scale=options.scale,
        enable_gqa=q.shape[1] != k.shape[1],
        return_aux=AuxRequest(lse=True) if options.return_lse else None,
    )
    return (found[0], found[1].lse) if options.return_lse else (found, None)


def how_flex_ran(call: Callable[[], object]) -> str:
    """ "eager" or "compiled"."""
    return "compiled" if torch.cuda.is_available() else "eager"


def _mask_mod(band: Band) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def mask_mod(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        mask = j >= 0
        if band.high is not None:
            mask = mask & (j <= i + band.high)
        if band.low is not None:
            mask = mask & (j >= i + band.low)
        return mask

    return mask_mod


def _score_mod(options: Options, band: Band) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    mask, slopes, cap = options.attn_mask, options.alibi_slopes, options.softcap

    def score_mod(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        if slopes is not None:
            of_head = slopes[b if len(slopes) > 1 else 0, h]
            score = score - (of_head * (i + band.shift - j).abs()).to(score.dtype)
        if mask is not None:
            at = mask[tuple(x if n > 1 else 0 for x, n in zip((b, h, i, j), mask.shape, strict=True))]
            score = torch.where(at, score, -math.inf) if mask.dtype == torch.bool else score + at
        return score

    return score_mod


def _as_it_is() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    run: Any = flex_attention
    return run  # type: ignore[no-any-return]


@cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=False)
    return compiled
