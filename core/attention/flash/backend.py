"""Flash attention in PyTorch operations: the scores exist one tile at a time, forward and backward.

Dao, "FlashAttention-2" (arXiv:2307.08691): Algorithm 1, which divides once at the end and keeps one number per row, the
log-sum-exp L; and Algorithm 2, which computes the tiles of P again from L. Three things differ for CPUs:

* The queries are the outer loop in both, so that keys are cut exactly where the band ends for a block of rows.
* A tile is as wide as the cache allows: a small operation on it costs nearly as much as on a fraction of it.
* e^(S − m) is 2^(S·log₂e − m·log₂e), as in the CUDA kernels: exp2 takes 0.4 of the time of exp. m is kept times log₂e.

Half precision is computed in float32 and rounded once, at the end. Every sum has one order, so the backward pass gives
the same bits every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ...trial import Refused
from ..arguments import Options
from ..band import band_of
from ..dropout import seeded
from ..masked_products import add_product, all_finite, can_leak, largest_sum
from .scores import Scores, add_to_mask
from .second_derivative import second_derivative, share_of_sink
from .slabs import LOG2_E, Job, Slab, finite, powers
from .tiles import plan

# ruff: noqa: E741 — l and O are the paper's symbols

# torch.compiler.disable would import the compiler at once, which takes a second; this does where it is called.
_without_dynamo: Callable[[Callable[..., Any]], Callable[..., Any]] = cast(Any, torch)._disable_dynamo


def flash(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O (B, H, Nq, d_v) and L (B, H, Nq), float32 or float64; both have gradients, and these have gradients once more.

    A row that may attend to nothing gives 0, −∞ as its L (or that of the sink), and gradients of 0. A NaN or an infinity
    in q, k, v or dO stays with the rows that attend to it, in O, L and the first derivative.

    Raises Refused: in the backward pass of the second derivative; a third one is in `standard`.
    """
    options = seeded(options)
    mask, sink = options.attn_mask, options.sink
    if mask is not None or sink is not None:
        options = replace(options, attn_mask=None, sink=None)
    call: Callable[..., Any] = _Flash.apply if not torch.compiler.is_compiling() else _not_compiled
    results: tuple[Tensor, Tensor] = call(q, k, v, mask, sink, options)
    return results


@_without_dynamo
def _not_compiled(*given: Any) -> tuple[Tensor, Tensor]:
    """Not traced by torch.compile, which would take minutes for each shape and gain nothing from a loop over tiles."""
    results: tuple[Tensor, Tensor] = _Flash.apply(*given)  # type: ignore[no-untyped-call]
    return results


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of a job, outside autocast: the job has its own dtype."""

    def call(job: Job, *given: Any, **named: Any) -> Any:
        with torch.autocast(job.q.device.type, enabled=False):
            return function(job, *given, **named)

    return call


LARGE = 2.0**28
"""Scores beyond which rounding them times log₂e, by 8 and more, is no small matter."""


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, sink: Tensor | None, options: Options
    ) -> tuple[Tensor, Tensor]:
        job = _job(q, k, v, mask, sink, options, backward=False)
        O, L = _forward(job)
        if can_leak(job.mask, job.band) and not all_finite(O):
            O, L = _forward(replace(job, is_careful=True))
        return O, L

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, mask, sink, ctx.options = inputs
        ctx.save_for_backward(q, k, v, mask, sink, *output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, dO: Tensor | None, dL: Tensor | None) -> tuple[Tensor | None, ...]:
        gradients = _Gradients.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, dO, dL, ctx.options, ctx.needs_input_grad[3]
        )
        kept = (x if needed else None for x, needed in zip(gradients, ctx.needs_input_grad, strict=False))
        return (*kept, None)


class _Gradients(torch.autograd.Function):
    """An autograd function, so that gradients have a derivative: PyTorch would otherwise take it for 0."""

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        sink: Tensor | None,
        O: Tensor,
        L: Tensor,
        dO: Tensor | None,
        dL: Tensor | None,
        options: Options,
        of_mask: bool,
    ) -> tuple[Tensor | None, ...]:
        job = _job(q, k, v, mask, sink, options, backward=True)
        gradients: tuple[Tensor | None, ...] = _backward(job, O, L, dO, dL, of_mask=of_mask)
        if can_leak(job.mask, job.band) and not all_finite(*gradients):
            gradients = _backward(replace(job, is_careful=True), O, L, dO, dL, of_mask=of_mask)
        return gradients

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor | None, ...]) -> None:
        *tensors, ctx.options, _ = inputs
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *of_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        found = _SecondDerivative.apply(*ctx.saved_tensors, *of_gradients, ctx.options)  # type: ignore[no-untyped-call]
        # O and L are no variables of their own: what they owe to q, k and v is in the gradients of these.
        every = (*found[:5], None, None, *found[5:], None, None)
        return tuple(x if needed else None for x, needed in zip(every, ctx.needs_input_grad, strict=True))


class _SecondDerivative(torch.autograd.Function):
    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor | None, ...]:
        q, k, v, mask, sink, O, L, dO, dL, *of_gradients, options = inputs
        job = _job(q, k, v, mask, sink, options, backward=True)
        found: tuple[Tensor | None, ...] = _without_autocast(second_derivative)(
            job, O, L, dO, dL, of_gradients
        )
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor | None, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *of_gradients: Tensor | None) -> None:
        raise Refused("flash has no third derivative; it is in standard")


def _job(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    sink: Tensor | None,
    options: Options,
    *,
    backward: bool,
) -> Job:
    groups, band = q.shape[1] // k.shape[1], band_of(q.shape[2], k.shape[2], options)
    cut = plan(groups, k.shape[1], k.shape[2], band, backward=backward, on_cuda=q.is_cuda)
    # An added mask of the least number, as some write them, makes such scores too.
    adds = mask is not None and mask.dtype != torch.bool
    is_large = adds or not abs(options.scale) * largest_sum(q, k, terms=q.shape[3]) < LARGE
    return Job(q, k, v, mask, sink, options, cut, is_large=is_large)


@_without_autocast
def _forward(job: Job) -> tuple[Tensor, Tensor]:
    """Algorithm 1 of FlashAttention-2."""
    q, k, v = job.q, job.k, job.v
    O = q.new_empty(*q.shape[:3], v.shape[3])
    L = torch.empty(q.shape[:3], dtype=job.dtype, device=q.device)
    scores = Scores(job)
    for slab in job.slabs():
        Q, K, V, choices = slab.rows(q), slab.shared(k), slab.shared(v), slab.choices()
        O_slab = Q.new_zeros(*Q.shape[:2], V.shape[2], dtype=job.dtype)
        l = Q.new_zeros(*Q.shape[:2], 1, dtype=job.dtype)
        m = torch.full_like(l, -math.inf)
        for block, (Q_i, O_i, l_i, m_i) in slab.blocks(Q, O_slab, l, m):
            Q_i, is_first = Q_i.to(job.dtype), True
            for j0, width in block.tiles:
                K_j, V_j = K.narrow(1, j0, width), V.narrow(1, j0, width)
                S = scores.tile(slab, Q_i, K_j, block.i0, j0)
                mask = scores.mask(S)
                if is_first:
                    torch.amax(S, -1, keepdim=True, out=m_i).mul_(job.unit)
                    P = powers(job, S, m_i)
                    torch.sum(P, -1, keepdim=True, out=l_i)
                else:
                    m_new = torch.maximum(m_i, S.amax(-1, keepdim=True).mul_(job.unit))
                    rescale = m_i.sub_(finite(m_new)).mul_(LOG2_E / job.unit).exp2_()
                    P = powers(job, S, m_new)
                    l_i.mul_(rescale).add_(P.sum(-1, keepdim=True))
                    O_i.mul_(rescale)
                    m_i.copy_(m_new)
                if choices is not None:
                    P.mul_(scores.kept(choices, P, block.i0, j0))
                if is_first and mask is None:
                    torch.bmm(P, V_j, out=O_i)
                else:
                    add_product(O_i, P, V_j, mask)
                is_first = False
        if job.sink is not None:
            _add_sink(slab, job.sink, O_slab, l, m)
        slab.put_rows(L.unsqueeze(-1), m.div_(job.unit).add_(l.log()))
        l.masked_fill_(l == 0, 1)  # a row that saw nothing
        slab.put_rows(O, O_slab.div_(l.mul_(1 - job.options.dropout_p) if choices is not None else l))
    return O, L


def _add_sink(slab: Slab, sink: Tensor, O: Tensor, l: Tensor, m: Tensor) -> None:
    """One more logit for each row, which has no value vector: ⊕ with (m, l, O) = (sink, 1, 0); m in the job's unit."""
    s, to_powers = slab.of_rows(sink).to(m.dtype) * slab.job.unit, LOG2_E / slab.job.unit
    m_new = torch.maximum(m, s)
    rescale = m.sub_(finite(m_new)).mul_(to_powers).exp2_()
    l.mul_(rescale).add_(s.sub_(finite(m_new)).mul_(to_powers).exp2_())
    O.mul_(rescale)
    m.copy_(m_new)


@_without_autocast
def _backward(
    job: Job, O: Tensor, L: Tensor, dO: Tensor | None, dL: Tensor | None, *, of_mask: bool
) -> tuple[Tensor | None, ...]:
    """Algorithm 2 of FlashAttention-2, with the queries outside; also the gradient that comes through L."""
    q, k, v, cap = job.q, job.k, job.v, job.options.softcap
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    dmask = torch.zeros_like(job.mask, dtype=job.dtype) if of_mask and job.mask is not None else None
    dsink = torch.zeros_like(job.sink, dtype=job.dtype) if job.sink is not None else None
    dO = torch.zeros_like(O) if dO is None else dO
    dL = torch.zeros_like(L) if dL is None else dL
    scores, room = Scores(job), job.room()
    for slab in job.slabs():
        Q, K, V, choices = slab.rows(q), slab.shared(k), slab.shared(v), slab.choices()
        O_rows, dO_rows = slab.rows(O), slab.rows(dO)
        L_rows, dL_rows = slab.rows(L.unsqueeze(-1)), slab.rows(dL.unsqueeze(-1))
        dQ = torch.zeros_like(Q, dtype=job.dtype)
        dK, dV = torch.zeros_like(K), torch.zeros_like(V)
        scale = 1.0 if choices is None else 1 / (1 - job.options.dropout_p)
        for block, (Q_i, O_i, dO_i, L_i, dL_i, dQ_i) in slab.blocks(Q, O_rows, dO_rows, L_rows, dL_rows, dQ):
            Q_i, dO_i = Q_i.to(job.dtype), dO_i.to(job.dtype)
            # D of the paper; L adds its own gradient to every score of its row, weighted by P.
            D = (dO_i * O_i).sum(-1, keepdim=True) - dL_i
            t_i = L_i * job.unit
            for j0, width in block.tiles:
                K_j, V_j, dK_j, dV_j = (x.narrow(1, j0, width) for x in (K, V, dK, dV))
                capped: list[Tensor] = []
                S = scores.tile(slab, Q_i, K_j, block.i0, j0, capped)
                mask = scores.mask(S, capped)
                P, mask_T = powers(job, S, t_i), None if mask is None else mask.mT
                dS = torch.bmm(dO_i, V_j.mT, out=room.narrow(0, 0, P.numel()).view(P.shape))
                if choices is None:
                    add_product(dV_j, P.mT, dO_i, mask_T)
                else:
                    kept = scores.kept(choices, P, block.i0, j0)
                    dS.mul_(kept).mul_(scale)
                    add_product(dV_j, kept.mul_(P).mT, dO_i, mask_T, scale)
                dS.sub_(D).mul_(P)
                if mask is not None:
                    dS.masked_fill_(~mask, 0)
                if dmask is not None:
                    add_to_mask(slab, dmask, dS, block.i0, j0)
                if cap is not None:
                    t = capped[0]
                    dS.mul_(t.mul_(t).neg_().add_(1))
                add_product(dQ_i, dS, K_j, mask, job.options.scale)
                add_product(dK_j, dS.mT, Q_i, mask_T, job.options.scale)
        if dsink is not None and job.sink is not None:
            D = (dO_rows.to(job.dtype) * O_rows).sum(-1, keepdim=True) - dL_rows
            slab.add_to_heads(dsink, share_of_sink(slab, job.sink, L_rows).mul_(D).neg_())
        slab.put_rows(dq, dQ)
        dk[slab.b, slab.kv] = dK
        dv[slab.b, slab.kv] = dV
    if dmask is not None and job.mask is not None:
        dmask = dmask.to(job.mask.dtype)
    return dq, dk, dv, dmask, dsink if dsink is None or job.sink is None else dsink.to(job.sink.dtype)
