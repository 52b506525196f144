"""Flash attention in PyTorch operations: the scores exist one tile at a time, forward and backward.

Dao, "FlashAttention-2" (arXiv:2307.08691): Algorithm 1, which divides once at the end and keeps one number per row, the
log-sum-exp L; and Algorithm 2, which computes the tiles of P again from L. Three things are done the CPU's way:

* The queries are the outer loop in both, so that keys are cut exactly where the diagonal ends a block of rows.
* A tile is as wide as the cache allows, so that a row seldom has to be rescaled.
* e^x is 2^(x·log₂e), with log₂e in the scale of the queries (as the CUDA kernels do): exp2 is the faster of the two.

Half precision is computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arguments import Options
from .tiles import Plan, plan

LOG2_E = math.log2(math.e)


def flash(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O (B, H, Nq, d_v) and L (B, H, Nq), float32 or float64; both have gradients.

    A row that may attend to nothing gives 0, −∞ as its L, and gradients of 0.
    """
    results: tuple[Tensor, Tensor] = _Flash.apply(  # type: ignore[no-untyped-call]
        q, k, v, options.attn_mask, options.causal, options.scale
    )
    return results


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        job = _Job(q, k, v, mask, causal, scale)
        O, L = _forward(job)  # noqa: E741
        ctx.save_for_backward(q, k, v, mask, O, L)
        ctx.causal, ctx.scale = causal, scale
        ctx.set_materialize_grads(False)
        return O, L

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dO: Tensor | None, dL: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, mask, O, L = ctx.saved_tensors  # noqa: E741
        job = _Job(q, k, v, mask, ctx.causal, ctx.scale)
        gradients = _backward(job, O, L, dO, dL)
        kept = (x if needed else None for x, needed in zip(gradients, ctx.needs_input_grad, strict=False))
        return (*kept, None, None, None)


@dataclass(frozen=True)
class _Job:
    """The inputs, and how they are cut."""

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    causal: bool
    scale: float

    @property
    def groups(self) -> int:
        return self.q.shape[1] // self.k.shape[1]

    @property
    def shift(self) -> int:
        """Query i is at the key i + shift, so that the last stand beside each other."""
        return self.k.shape[2] - self.q.shape[2]

    @property
    def plan(self) -> Plan:
        _, kv_heads, keys, _ = self.k.shape
        return plan(self.groups, kv_heads, keys, causal=self.causal, on_cuda=self.q.is_cuda)

    @property
    def dtype(self) -> torch.dtype:
        """What sums are kept in."""
        return torch.float64 if self.q.dtype == torch.float64 else torch.float32

    def slabs(self, cut: Plan) -> Iterator[_Slab]:
        batch, kv_heads = self.k.shape[:2]
        for b in range(batch):
            for h in range(0, kv_heads, cut.kv_heads):
                yield _Slab(self, b, slice(h, min(h + cut.kv_heads, kv_heads)))


@dataclass(frozen=True)
class _Slab:
    """Some heads of k and v of one element of the batch, with the heads of q that share them."""

    job: _Job
    b: int
    kv: slice

    @property
    def heads(self) -> slice:
        return slice(self.kv.start * self.job.groups, self.kv.stop * self.job.groups)

    def shared(self, x: Tensor) -> Tensor:
        """(g, Nk, d) of k or v, in the dtype of the sums."""
        part = x[self.b, self.kv].to(self.job.dtype)
        return part if part.stride(-1) == 1 else part.contiguous()

    def split(self, x: Tensor) -> Tensor:
        """(g, groups, Nq, …) of what has the heads of q; a view."""
        return torch.unflatten(x[self.b, self.heads], 0, (-1, self.job.groups))

    def rows(self, x: Tensor, i0: int, i1: int) -> Tensor:
        """(g, groups·rows, d) of what has the heads of q: heads that share keys stand below each other."""
        return self.split(x)[:, :, i0:i1].flatten(1, 2).to(self.job.dtype)

    def scores(self, Q_i: Tensor, K: Tensor, tile: _Tile, room: Tensor) -> Tensor:
        """S_ij·log₂e of a tile, in `room`; Q_i is scaled already. What must not be seen is −∞."""
        S = room[: Q_i.shape[0] * Q_i.shape[1] * tile.width].view(*Q_i.shape[:2], tile.width)
        torch.bmm(Q_i, K[:, tile.j0 : tile.j1].mT, out=S)
        seen = torch.unflatten(S, 1, (self.job.groups, tile.i1 - tile.i0))
        if self.job.causal:
            _hide_above_diagonal(seen, tile, self.job.shift)
        if self.job.mask is not None:
            whole = self.job.mask.expand(*self.job.q.shape[:3], self.job.k.shape[2])
            mask = self.split(whole)[:, :, tile.i0 : tile.i1, tile.j0 : tile.j1]
            if mask.dtype == torch.bool:
                seen.masked_fill_(~mask, -math.inf)
            else:
                seen.add_(mask, alpha=LOG2_E)
        return S


@dataclass(frozen=True)
class _Tile:
    i0: int
    i1: int
    j0: int
    j1: int

    @property
    def width(self) -> int:
        return self.j1 - self.j0


def _hide_above_diagonal(S: Tensor, tile: _Tile, shift: int) -> None:
    """Row i0 sees keys up to i0 + shift, the next row one more, and so on: −∞ for what lies beyond."""
    first = max(tile.j0, tile.i0 + shift + 1)
    if first < tile.j1:
        beyond = torch.ones(tile.i1 - tile.i0, tile.j1 - first, dtype=torch.bool, device=S.device)
        S[..., first - tile.j0 :].masked_fill_(beyond.triu_(tile.i0 + shift + 1 - first), -math.inf)


def _forward(job: _Job) -> tuple[Tensor, Tensor]:
    """Algorithm 1 of FlashAttention-2."""
    q, k, v, cut = job.q, job.k, job.v, job.plan
    O = q.new_zeros(*q.shape[:3], v.shape[3])  # noqa: E741
    L = torch.full(q.shape[:3], -math.inf, dtype=job.dtype, device=q.device)
    room = _room(job, cut)
    for slab in job.slabs(cut):
        K, V = slab.shared(k), slab.shared(v)
        for block in cut.blocks(q.shape[2], k.shape[2], causal=job.causal):
            Q_i = slab.rows(q, block.i0, block.i1) * (job.scale * LOG2_E)
            m = l = O_i = None  # noqa: E741
            for j0, j1 in block.keys:
                S = slab.scores(Q_i, K, _Tile(block.i0, block.i1, j0, j1), room)
                m_tile = S.amax(-1, keepdim=True)
                if m is None or l is None or O_i is None:
                    m = m_tile
                    P = S.sub_(_finite(m, job.mask)).exp2_()
                    l = P.sum(-1, keepdim=True)  # noqa: E741
                    O_i = torch.bmm(P, V[:, j0:j1])
                else:
                    m_new = torch.maximum(m, m_tile)
                    m_safe = _finite(m_new, job.mask)
                    rescale = torch.exp2(m - m_safe)
                    P = S.sub_(m_safe).exp2_()
                    l = l.mul_(rescale).add_(P.sum(-1, keepdim=True))  # noqa: E741
                    O_i.mul_(rescale).baddbmm_(P, V[:, j0:j1])
                    m = m_new
            assert m is not None and l is not None and O_i is not None
            rows = (job.groups, block.i1 - block.i0)
            logarithm = torch.unflatten(m / LOG2_E + l.log(), 1, rows).squeeze(-1)
            if job.mask is not None:
                l = l.masked_fill(l == 0, 1)  # noqa: E741
            slab.split(O)[:, :, block.i0 : block.i1] = torch.unflatten(O_i.div_(l), 1, rows)
            slab.split(L)[:, :, block.i0 : block.i1] = logarithm
    return O, L


def _backward(
    job: _Job,
    O: Tensor,  # noqa: E741
    L: Tensor,
    dO: Tensor | None,
    dL: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 2 of FlashAttention-2, with the queries outside; also the gradient that comes through L."""
    q, k, v, cut = job.q, job.k, job.v, job.plan
    dQ, dK, dV = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    if dO is None:
        dO = torch.zeros_like(O)
    room, more_room = _room(job, cut), _room(job, cut)
    for slab in job.slabs(cut):
        K, V = slab.shared(k), slab.shared(v)
        dK_slab, dV_slab = torch.zeros_like(K), torch.zeros_like(V)
        for block in cut.blocks(q.shape[2], k.shape[2], causal=job.causal):
            i0, i1 = block.i0, block.i1
            Q_i = slab.rows(q, i0, i1) * (job.scale * LOG2_E)
            dO_i = slab.rows(dO, i0, i1)
            # D of the paper; L adds its own gradient to every score of its row, weighted by P.
            D = (dO_i * slab.rows(O, i0, i1)).sum(-1, keepdim=True)
            if dL is not None:
                D -= slab.rows(dL.unsqueeze(-1), i0, i1)
            L_i = slab.rows(L.unsqueeze(-1), i0, i1) * LOG2_E
            L_i.masked_fill_(L_i.isneginf(), 0)
            dQ_i = torch.zeros_like(Q_i)
            for j0, j1 in block.keys:
                P = slab.scores(Q_i, K, _Tile(i0, i1, j0, j1), room).sub_(L_i).exp2_()
                dV_slab[:, j0:j1].baddbmm_(P.mT, dO_i)
                dS = more_room[: P.numel()].view_as(P)
                torch.bmm(dO_i, V[:, j0:j1].mT, out=dS)
                dS.sub_(D).mul_(P)
                dQ_i.baddbmm_(dS, K[:, j0:j1])
                dK_slab[:, j0:j1].baddbmm_(dS.mT, Q_i)
            slab.split(dQ)[:, :, i0:i1] = torch.unflatten(dQ_i.mul_(job.scale), 1, (job.groups, i1 - i0))
        dK[slab.b, slab.kv] = dK_slab.div_(LOG2_E)  # Q_i holds the scale already, and log₂e besides
        dV[slab.b, slab.kv] = dV_slab
    return dQ, dK, dV


def _finite(m: Tensor, mask: Tensor | None) -> Tensor:
    """m, with 0 for rows of which nothing has been seen yet: −∞ − (−∞) would be NaN. Only a mask makes such rows."""
    return m if mask is None else m.masked_fill(m.isneginf(), 0)


def _room(job: _Job, cut: Plan) -> Tensor:
    """Memory for the largest tile."""
    rows = min(cut.rows, max(job.q.shape[2], 1)) * job.groups
    return torch.empty(cut.kv_heads * rows * cut.keys, dtype=job.dtype, device=job.q.device)
