"""Flash attention by Triton kernels, as a PyTorch function with gradients."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor

from ...trial import Refused
from ..arguments import Options
from ..band import band_of
from ..dropout import WORD, seeded, threshold_of
from ..sink import gradient_of_sink
from . import backward
from .kind import Kind
from .tuning import L2_CACHE, launch

# ruff: noqa: E741 — O is the paper's symbol

FAR = 1 << 24
"""Rows so far apart are copied: within a tile their distance, of 32 bits, would overflow."""
ROWS = 64
"""Rows of a program that prepares the backward pass."""


def flash_triton(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O (B, H, Nq, d_v) and L (B, H, Nq), float32; both have gradients, and so has the sink.

    A row that may attend to nothing gives 0, −∞ as its L (or that of the sink), and gradients of 0. Under the
    interpreter, whose products know no bfloat16, half precision is computed in float32. A NaN in a masked key
    changes nothing; one in dO may reach dV of keys that are masked in its row, in the same tile.

    Raises Refused: in the backward pass of its gradients.
    """
    options = seeded(options)
    dtype = q.dtype
    if options.scale <= 0:  # rare; the kernels take it that the largest product has the largest score
        q, options = q * (-1 if options.scale < 0 else 0), replace(options, scale=-options.scale or 1.0)
    if not q.is_cuda:
        q, k, v = q.float(), k.float(), v.float()
    q, k, v = (x if x.stride(3) == 1 and x.stride(2) < FAR else x.contiguous() for x in (q, k, v))
    O, L = _Flash.apply(q, k, v, options.sink, replace(options, sink=None))
    return O.to(dtype), L


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, options: Options
    ) -> tuple[Tensor, Tensor]:
        O, L = _forward(q, k, v, sink, options)
        ctx.options = options
        ctx.save_for_backward(q, k, v, sink, O, L)
        ctx.set_materialize_grads(False)
        return O, L

    @staticmethod
    def backward(ctx: Any, dO: Tensor | None, dL: Tensor | None) -> tuple[Tensor | None, ...]:
        return (*_Gradients.apply(*ctx.saved_tensors, dO, dL, ctx.options, ctx.needs_input_grad[:4]), None)


class _Gradients(torch.autograd.Function):
    """An autograd function, so that its derivative is refused: PyTorch would otherwise take it for 0."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
        return _backward(*given)

    @staticmethod
    def backward(ctx: Any, *of_gradients: Tensor) -> None:
        raise Refused("flash-triton has no second derivative; it is in standard, flash")


def _forward(q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, options: Options) -> tuple[Tensor, Tensor]:
    O = torch.empty(*q.shape[:3], v.shape[3], dtype=q.dtype, device=q.device)
    L = torch.empty(q.shape[:3], device=q.device, dtype=torch.float32)
    if L.numel():
        mask, slopes = options.attn_mask, options.alibi_slopes
        given = (q, k, v, O, L, _or(mask, q), _or(slopes, q), _or(sink, q))
        _launch("forward", given, q, k, v, options, has_sink=sink is not None)
    return O, L


def _backward(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, O: Tensor, L: Tensor,
    dO: Tensor | None, dL: Tensor | None, options: Options, needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    if not L.numel():
        return tuple(torch.zeros_like(x) if x is not None else None for x in (q, k, v, sink))
    dO = torch.zeros_like(O) if dO is None else dO.contiguous()
    dL = torch.zeros_like(L) if dL is None else dL.contiguous()
    delta, powers = torch.empty_like(L), torch.empty_like(L)
    d_v = v.shape[3]
    with torch.cuda.device(q.device) if q.is_cuda else nullcontext():
        blocks = triton.cdiv(L.numel(), ROWS)
        backward.preprocess[(blocks,)](O, dO, L, dL, powers, delta, L.numel(), d_v, _width(d_v), ROWS)
    made = partial(_launch, q=q, k=k, v=v, options=options)
    mask_and_slopes = (_or(options.attn_mask, q), _or(options.alibi_slopes, q))
    dq = dk = dv = dsink = None
    if needed[0]:
        dq = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        made("of_queries", (q, k, v, dO, powers, delta, dq, *mask_and_slopes))
    if needed[1] or needed[2]:
        dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (k, v))
        if k.shape[2]:
            made("of_keys", (q, k, v, dO, powers, delta, dk, dv, *mask_and_slopes))
    if sink is not None and needed[3]:
        dsink = gradient_of_sink(sink, L, delta)
    return dq, dk if needed[1] else None, dv if needed[2] else None, dsink


def _launch(
    name: str, given: tuple[Tensor, ...], q: Tensor, k: Tensor, v: Tensor, options: Options, *,
    has_sink: bool = False,
) -> None:  # fmt: skip
    """Start the kernel of that name on the tensors `given`, and on the numbers that all kernels take."""
    (B, H, N_q, d), (N_k, d_v) = q.shape, v.shape[2:]
    groups = H // k.shape[1]
    band, p = band_of(N_q, N_k, options), options.dropout_p
    mask, slopes = options.attn_mask, options.alibi_slopes
    kind = Kind(
        d, d_v, _width(d), _width(d_v), MASK=0 if mask is None else 1 if mask.dtype == torch.bool else 2,
        CAP=options.softcap is not None, ALIBI=slopes is not None, SINK=has_sink, DROP=p > 0,
        LOW=band.low is not None, HIGH=band.high is not None,
        FOLDED=options.softcap is None and slopes is None and (mask is None or mask.dtype == torch.bool),
    )  # fmt: skip
    # A stride of 0 where it is one for all: nothing is expanded in memory.
    of_mask = [0] * 4
    if mask is not None:
        of_mask = [s if n > 1 else 0 for s, n in zip(mask.stride(), mask.shape, strict=True)]
    seed = (options.dropout_seed or 0) % WORD
    over_keys = name == "of_keys"
    # What all blocks of a sequence read: its keys and values, shared by a group, or all queries of the group.
    read = N_q * groups if over_keys else N_k / groups
    section = max(1, int(L2_CACHE / max(1, read * (d + d_v) * q.element_size())))
    sequences = B * (k.shape[1] if over_keys else H)
    launch(
        name, N_k if over_keys else N_q, sequences, *given,
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *of_mask,
        H if slopes is not None and len(slopes) > 1 else 0,
        sequences, min(section, sequences), H, groups, N_q, N_k,
        options.scale, options.softcap or 1.0, band.low or 0, band.high or 0, band.shift,
        seed - WORD if seed >= WORD // 2 else seed, threshold_of(p), 1 / (1 - p),
        queries=N_q, keys=N_k, kind=kind,
    )  # fmt: skip


def _or(x: Tensor | None, other: Tensor) -> Tensor:
    """x as a kernel takes it, or a placeholder that is not read."""
    return other if x is None else x.view(torch.uint8) if x.dtype == torch.bool else x


def _width(d: int) -> int:
    return max(16, int(triton.next_power_of_2(d)))
