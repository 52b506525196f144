"""PyTorch's flex_attention: what is asked for is said in small functions of a score and its place.

Compiled on a GPU, where it makes a kernel of its own for them. On a CPU it is run as it is, which holds all scores in
memory: compiled there (torch 2.13) it takes 18 s to compile, tells no log-sum-exp, and was slower than that. It has no
backward pass on a CPU at all.
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
from .band import Band, band


def flex(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor | None]:
    """O (B, H, Nq, d_v) and, if asked for, the log-sum-exp (B, H, Nq), float32 or float64.

    Raises:
        Refused: gradients on a CPU.
    """
    from torch.nn.attention.flex_attention import AuxRequest, create_block_mask

    wants_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    if wants_gradient and q.device.type == "cpu":
        raise Refused("flex has no gradients on a CPU; they are in standard, flash, flash-numba, sdpa")
    if 0 in (q.shape[2], k.shape[2]):
        lse = q.new_full(q.shape[:3], -math.inf, dtype=torch.promote_types(q.dtype, torch.float32))
        return q.new_zeros(*q.shape[:3], v.shape[3]), lse
    place = band(q.shape[2], k.shape[2], options)
    mask = options.attn_mask
    by_place = None
    if not place.is_everything:
        by_place = create_block_mask(_sees(place), None, None, q.shape[2], k.shape[2], device=q.device.type)
    run = _compiled() if q.device.type != "cpu" else _as_it_is()
    found = run(
        q,
        k,
        v,
        score_mod=_changed(options, place) if mask is not None or _changes(options) else None,
        block_mask=by_place,
        scale=options.scale,
        enable_gqa=q.shape[1] != k.shape[1],
        return_aux=AuxRequest(lse=True) if options.return_lse else None,
    )
    return (found[0], found[1].lse) if options.return_lse else (found, None)


def how_flex_ran(call: Callable[[], object]) -> str:
    """ "eager" or "compiled"."""
    return "compiled" if torch.cuda.is_available() else "eager"


def _changes(options: Options) -> bool:
    return options.softcap is not None or options.alibi_slopes is not None


def _sees(place: Band) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def sees(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        seen = j >= 0
        if place.high is not None:
            seen = seen & (j <= i + place.high)
        if place.low is not None:
            seen = seen & (j >= i + place.low)
        return seen

    return sees


def _changed(options: Options, place: Band) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    mask, slopes, cap = options.attn_mask, options.alibi_slopes, options.softcap

    def changed(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        if slopes is not None:
            of_head = slopes[b if len(slopes) > 1 else 0, h]
            score = score - (of_head * (i + place.shift - j).abs()).to(score.dtype)
        if mask is not None:
            at = mask[tuple(x if n > 1 else 0 for x, n in zip((b, h, i, j), mask.shape, strict=True))]
            score = torch.where(at, score, -math.inf) if mask.dtype == torch.bool else score + at
        return score

    return changed


def _as_it_is() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    run: Any = flex_attention
    return run  # type: ignore[no-any-return]


@cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=False)
    return compiled
