"""Flash attention in PyTorch operations: the scores exist one tile at a time, forward and backward.

Dao, "FlashAttention-2" (arXiv:2307.08691): Algorithm 1, which divides once at the end and keeps one number per row, the
log-sum-exp L; and Algorithm 2, which computes the tiles of P again from L. Three things are done the CPU's way:

* The queries are the outer loop in both, so that keys are cut exactly where the diagonal ends a block of rows.
* A tile is as wide as the cache allows: a small operation on it costs nearly as much as on a fraction of it.
* e^x is 2^(x·log₂e), with log₂e in the scale of the scores (as the CUDA kernels do): exp2 is the faster of the two.

Half precision is computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..trial import Refused
from .arguments import Options
from .slabs import LOG2_E, Job
from .tiles import plan

# ruff: noqa: E741 — l and O are the paper's symbols


def flash(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O (B, H, Nq, d_v) and L (B, H, Nq), float32 or float64; both have gradients.

    A row that may attend to nothing gives 0, −∞ as its L, and gradients of 0.

    Raises:
        Refused: in the backward pass of its gradients; a second derivative is in `standard`.
    """
    results: tuple[Tensor, Tensor] = _Flash.apply(  # type: ignore[no-untyped-call]
        q, k, v, options.attn_mask, options.causal, options.scale
    )
    return results


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        return _forward(_job(q, k, v, mask, causal, scale, backward=False))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, mask, ctx.causal, ctx.scale = inputs
        ctx.save_for_backward(q, k, v, mask, *output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, dO: Tensor | None, dL: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, mask, O, L = ctx.saved_tensors
        gradients = _Gradients.apply(q, k, v, mask, O, L, dO, dL, ctx.causal, ctx.scale)  # type: ignore[no-untyped-call]
        kept = (x if needed else None for x, needed in zip(gradients, ctx.needs_input_grad, strict=False))
        return (*kept, None, None, None)


class _Gradients(torch.autograd.Function):
    """A function of its own, so that a derivative of it is refused: without, PyTorch would take it for 0."""

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        O: Tensor,
        L: Tensor,
        dO: Tensor | None,
        dL: Tensor | None,
        causal: bool,
        scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return _backward(_job(q, k, v, mask, causal, scale, backward=True), O, L, dO, dL)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *of_gradients: Tensor) -> None:
        raise Refused("flash has no second derivative; it is in standard")


def _job(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float, *, backward: bool
) -> Job:
    groups = q.shape[1] // k.shape[1]
    cut = plan(groups, k.shape[1], k.shape[2], causal=causal, backward=backward, on_cuda=q.is_cuda)
    return Job(q, k, v, mask, causal, scale, cut)


def _forward(job: Job) -> tuple[Tensor, Tensor]:
    """Algorithm 1 of FlashAttention-2."""
    q, k, v = job.q, job.k, job.v
    O = q.new_empty(*q.shape[:3], v.shape[3])
    L = torch.empty(q.shape[:3], dtype=job.dtype, device=q.device)
    room = job.room()
    for slab in job.slabs():
        Q, K, V = slab.rows(q), slab.shared(k), slab.shared(v)
        O_slab = Q.new_zeros(*Q.shape[:2], V.shape[2], dtype=job.dtype)
        l = Q.new_zeros(*Q.shape[:2], 1, dtype=job.dtype)
        m = torch.full_like(l, -math.inf)
        for block, (Q_i, O_i, l_i, m_i) in slab.blocks(Q, O_slab, l, m):
            Q_i = Q_i.to(job.dtype)
            for j0, width in block.tiles:
                K_j, V_j = K.narrow(1, j0, width), V.narrow(1, j0, width)
                S = slab.scores(Q_i, K_j, block.i0, j0, room)
                if j0 == 0:
                    torch.amax(S, -1, keepdim=True, out=m_i)
                    P = S.sub_(_finite(m_i)).exp2_()
                    torch.sum(P, -1, keepdim=True, out=l_i)
                    torch.bmm(P, V_j, out=O_i)
                else:
                    m_new = torch.maximum(m_i, S.amax(-1, keepdim=True))
                    finite = _finite(m_new)
                    rescale = (m_i - finite).exp2_()
                    P = S.sub_(finite).exp2_()
                    l_i.mul_(rescale).add_(P.sum(-1, keepdim=True))
                    O_i.mul_(rescale).baddbmm_(P, V_j)
                    m_i.copy_(m_new)
        slab.put_rows(L.unsqueeze(-1), m.div_(LOG2_E).add_(l.log()))
        slab.put_rows(O, O_slab.div_(l.masked_fill_(l == 0, 1)))  # 0: a row that saw nothing
    return O, L


def _backward(
    job: Job, O: Tensor, L: Tensor, dO: Tensor | None, dL: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 2 of FlashAttention-2, with the queries outside; also the gradient that comes through L."""
    q, k, v = job.q, job.k, job.v
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    dO = torch.zeros_like(O) if dO is None else dO
    dL = torch.zeros_like(L) if dL is None else dL
    room, more_room = job.room(), job.room()
    for slab in job.slabs():
        Q, K, V = slab.rows(q), slab.shared(k), slab.shared(v)
        O_rows, dO_rows = slab.rows(O), slab.rows(dO)
        L_rows, dL_rows = slab.rows(L.unsqueeze(-1)), slab.rows(dL.unsqueeze(-1))
        dQ = torch.zeros_like(Q, dtype=job.dtype)
        dK, dV = torch.zeros_like(K), torch.zeros_like(V)
        for block, (Q_i, O_i, dO_i, L_i, dL_i, dQ_i) in slab.blocks(Q, O_rows, dO_rows, L_rows, dL_rows, dQ):
            Q_i, dO_i = Q_i.to(job.dtype), dO_i.to(job.dtype)
            # D of the paper; L adds its own gradient to every score of its row, weighted by P.
            D = (dO_i * O_i).sum(-1, keepdim=True) - dL_i
            L_i = _finite(L_i * LOG2_E)
            for j0, width in block.tiles:
                K_j, V_j, dK_j, dV_j = (x.narrow(1, j0, width) for x in (K, V, dK, dV))
                P = slab.scores(Q_i, K_j, block.i0, j0, room).sub_(L_i).exp2_()
                dV_j.baddbmm_(P.mT, dO_i)
                dS = torch.bmm(dO_i, V_j.mT, out=more_room[: P.numel()].view_as(P))
                dS.sub_(D).mul_(P)
                dQ_i.baddbmm_(dS, K_j, alpha=job.scale)
                dK_j.baddbmm_(dS.mT, Q_i, alpha=job.scale)
        slab.put_rows(dq, dQ)
        dk[slab.b, slab.kv] = dK
        dv[slab.b, slab.kv] = dV
    return dq, dk, dv


def _finite(m: Tensor) -> Tensor:
    """m, with the lowest number for a row of which nothing has been seen yet: −∞ − (−∞) would be NaN."""
    return m.clamp_min(torch.finfo(m.dtype).min)
