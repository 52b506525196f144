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
from ..band import band
from ..dropout import choices, drawn_seed, seed_of
from . import backward, forward

# ruff: noqa: E741 — O is the paper's symbol

INTERPRETED = 32
"""Queries and keys of a tile under the interpreter."""


def flash_triton(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O (B, H, Nq, d_v) and L (B, H, Nq), float32; both have gradients, and so has the sink.

    A row that may attend to nothing gives 0, −∞ as its L (or that of the sink), and gradients of 0. Under the interpreter,
    whose products know no bfloat16, half precision is computed in float32.

    Raises:
        Refused: in the backward pass of its gradients.
    """
    if options.dropout_p and options.dropout_seed is None:
        options = replace(options, dropout_seed=drawn_seed())
    given, dtype = (q, k, v), q.dtype
    if not q.is_cuda:
        given = (q.float(), k.float(), v.float())
    sink = options.sink
    O, L = _Flash.apply(*given, sink, replace(options, sink=None))
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
        gradients = _Gradients.apply(*ctx.saved_tensors, dO, dL, ctx.options)
        kept = (x if needed else None for x, needed in zip(gradients, ctx.needs_input_grad, strict=False))
        return (*kept, None)


class _Gradients(torch.autograd.Function):
    """A function of its own, so that a derivative of it is refused: without, PyTorch would take it for 0."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
        return _backward(*given)

    @staticmethod
    def backward(ctx: Any, *of_gradients: Tensor) -> None:
        raise Refused("flash-triton has no second derivative; it is in standard, flash")


def _forward(q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, options: Options) -> tuple[Tensor, Tensor]:
    O = torch.empty(*q.shape[:3], v.shape[3], dtype=q.dtype, device=q.device)
    L = torch.empty(q.shape[:3], device=q.device)
    if L.numel():
        _launch(forward.forward, q, k, v, sink, options, q.shape[2], q.shape[1], O=O, L=L)
    return O, L


def _backward(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, O: Tensor, L: Tensor, dO: Tensor | None, dL: Tensor | None,
    options: Options,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    dO = torch.zeros_like(O) if dO is None else dO.contiguous()
    dL = torch.zeros_like(L) if dL is None else dL.contiguous()
    delta = torch.empty_like(L)
    dq, dk, dv = (torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    if L.numel():
        with _device(q):
            width = _width(v.shape[3])
            backward.preprocess[(triton.cdiv(L.numel(), 64),)](
                O, dO, dL, delta, L.numel(), v.shape[3], width, 64
            )
        made = partial(
            _launch,
            q=q,
            k=k,
            v=v,
            sink=sink,
            options=options,
            O=O,
            L=L,
            dO=dO,
            delta=delta,
            gradients=(dq, dk, dv),
        )
        made(backward.of_queries, length=q.shape[2], heads=q.shape[1])
        if k.shape[2]:
            made(backward.of_keys, length=k.shape[2], heads=k.shape[1])
    dsink = None
    if sink is not None:
        share = (sink.float()[:, None] - L.clamp_min(torch.finfo(L.dtype).min)).exp()
        dsink = -(share * delta).sum((0, 2)).to(sink.dtype)
    return dq, dk, dv, dsink


def _launch(
    kernel: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, options: Options, length: int, heads: int, *,
    O: Tensor, L: Tensor, dO: Tensor | None = None, delta: Tensor | None = None,
    gradients: tuple[Tensor, Tensor, Tensor] | None = None,
) -> None:  # fmt: skip
    B, H, N_q, d = q.shape
    q, k, v = (x if x.stride(3) == 1 else x.contiguous() for x in (q, k, v))
    place, mask, slopes, p = (
        band(N_q, k.shape[2], options),
        options.attn_mask,
        options.alibi_slopes,
        options.dropout_p,
    )
    kind, strides = 0, (0, 0, 0, 0)
    if mask is not None:
        kind = 1 if mask.dtype == torch.bool else 2
        # A stride of 0 where it is one for all: nothing is expanded in memory.
        strides = tuple(s if n > 1 else 0 for s, n in zip(mask.stride(), mask.shape, strict=True))  # type: ignore[assignment]
        mask = mask.view(torch.uint8) if kind == 1 else mask
    rows = columns = None
    least = 0
    if p:
        assert options.dropout_seed is not None
        made = [
            choices(p, seed_of(options.dropout_seed, b), range(H), N_q, k.shape[2], q.device)
            for b in range(B)
        ]
        rows, columns = torch.stack([c.rows for c in made]), torch.stack([c.columns for c in made])
        least = made[0].least
    block = INTERPRETED if not q.is_cuda else 32 if q.dtype == torch.float32 or d > 128 else 64
    none = q  # stands for what a flag leaves unread
    with _device(q):
        kernel[(triton.cdiv(length, block), B * heads)](
            q, k, v, O, none if dO is None else dO, L, none if delta is None else delta, *(gradients or (none,) * 3),
            none if mask is None else mask, none if slopes is None else slopes, none if sink is None else sink,
            none if rows is None else rows, none if columns is None else columns,
            *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *O.stride()[:3], *strides,
            H if slopes is not None and len(slopes) > 1 else 0, H, H // k.shape[1], N_q, k.shape[2], options.scale,
            options.softcap or 1.0, place.low or 0, place.high or 0, place.shift, least, 1 / (1 - p),
            D=d, D_V=v.shape[3], WIDTH=_width(d), WIDTH_V=_width(v.shape[3]), MASK=kind,
            CAP=options.softcap is not None, ALIBI=slopes is not None, SINK=sink is not None, DROP=p > 0,
            LOW=place.low is not None, HIGH=place.high is not None, BLOCK_M=block, BLOCK_N=block, num_warps=4,
        )  # fmt: skip


def _width(d: int) -> int:
    return max(16, int(triton.next_power_of_2(d)))


def _device(q: Tensor) -> Any:
    return torch.cuda.device(q.device) if q.is_cuda else nullcontext()
