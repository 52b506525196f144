"""The gradient of flash attention's gradients, tile by tile: two walks over the scores, and no matrix of them.

With P = e^(S − L), t = tanh(s/c) of the soft cap, Z what dropout keeps (times 1/(1 − p)) and α the scale, the backward
pass of Algorithm 2 gives

    dP = (dO Vᵀ)∘Z      D = rowsum(P∘dP) − dL      dS = P∘(dP − D)      ds = dS∘(1 − t²)
    dV = (P∘Z)ᵀ dO      dQ = α ds K                dK = α dsᵀ Q         dmask = dS      dsink = −Σ e^(sink − L)·D

A loss on these has gradients U, W, Y, M and σ with respect to dQ, dK, dV, dmask and dsink. What of it goes through the
scores of one row is Σ_j P (dP − D) A + P F − e^(sink − L) D σ, with

    E = α (U Kᵀ + Q Wᵀ)      A = E∘(1 − t²) + M      F = (dO Yᵀ)∘Z      a = rowsum(P∘A) + e^(sink − L) σ

and from there it is the product rule (own derivation; the tests hold it against finite differences).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..dropout import Choices
from .scores import Scores, add_to_mask, part_of_mask
from .slabs import Job, Slab, finite, powers

# ruff: noqa: E741 — O is the paper's symbol


@dataclass(frozen=True)
class _Tile:
    """The quantities above for one tile, (g, rows, columns); no t without a soft cap, no Z without dropout."""

    P: Tensor
    dP: Tensor
    E: Tensor
    A: Tensor
    F: Tensor
    t: Tensor | None
    Z: Tensor | None


def second_derivative(
    job: Job,
    O: Tensor,
    L: Tensor,
    dO: Tensor | None,
    dL: Tensor | None,
    of_gradients: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """Gradients of a loss on (dq, dk, dv, dmask, dsink) with respect to q, k, v, mask, sink, dO and dL.

    `of_gradients` is that loss's with respect to those five, None where it does not look.
    """
    q, k, v, α = job.q, job.k, job.v, job.options.scale
    dO = torch.zeros_like(O) if dO is None else dO
    dL = torch.zeros_like(L) if dL is None else dL
    U, W, Y = (torch.zeros_like(x) if g is None else g for x, g in zip((q, k, v), of_gradients, strict=False))
    M, σ = of_gradients[3:]
    to_q, to_k, to_v, to_dO, to_dL = (torch.zeros_like(x) for x in (q, k, v, dO, dL))
    to_mask = to_sink = None
    if job.mask is not None and job.mask.is_floating_point():
        to_mask = torch.zeros_like(job.mask, dtype=job.dtype)
    if job.sink is not None:
        to_sink = torch.zeros_like(job.sink, dtype=job.dtype)
        σ = torch.zeros_like(job.sink) if σ is None else σ
    scores = Scores(job)
    for slab in job.slabs():
        Q_all, U_all, O_all, dO_all, L_all, dL_all = (
            slab.rows(x).to(job.dtype) for x in (q, U, O, dO, L.unsqueeze(-1), dL.unsqueeze(-1))
        )
        D_all = (dO_all * O_all).sum(-1, keepdim=True) - dL_all
        a_all = torch.zeros_like(D_all)
        if job.sink is not None and σ is not None:
            P_sink = share_of_sink(slab, job.sink, L_all)
            a_all += P_sink * slab.of_rows(σ)
        r_all = -D_all * a_all  # for the rows that see no key
        K_all, V_all, W_all, Y_all = slab.shared(k), slab.shared(v), slab.shared(W), slab.shared(Y)
        out_q, out_dO = torch.zeros_like(Q_all), torch.zeros_like(dO_all)
        out_k, out_v = torch.zeros_like(K_all), torch.zeros_like(V_all)
        choices = slab.choices()
        for block, rows in slab.blocks(
            Q_all, U_all, dO_all, L_all, D_all, dL_all, a_all, r_all, out_q, out_dO
        ):
            Q_i, U_i, dO_i, L_i, D_i, dL_i, a_i, r_i, out_q_i, out_dO_i = rows
            of_block, sum_i = (Q_i, U_i, dO_i, L_i), torch.zeros_like(a_i)
            for j0, width in block.tiles:
                cut = tuple(x.narrow(1, j0, width) for x in (K_all, V_all, W_all, Y_all))
                tile = _tile(scores, slab, choices, of_block, cut, M, block.i0, j0)
                a_i += (tile.P * tile.A).sum(-1, keepdim=True)
                sum_i += (tile.P * (tile.dP * tile.A + tile.F)).sum(-1, keepdim=True)
            # rowsum(P∘on_P) with the sink's part, whose dP and F are 0 and whose A is σ; rowsum(P∘dP) = D + dL.
            r_i.copy_(sum_i - a_i * (2 * D_i + dL_i))
            for j0, width in block.tiles:
                cut = tuple(x.narrow(1, j0, width) for x in (K_all, V_all, W_all, Y_all))
                K_j, V_j, W_j, Y_j = cut
                tile = _tile(scores, slab, choices, of_block, cut, M, block.i0, j0)
                on_P = (tile.dP - D_i) * tile.A - a_i * tile.dP + tile.F
                on_S = tile.P * (on_P - r_i)
                if to_mask is not None:
                    add_to_mask(slab, to_mask, on_S, block.i0, j0)
                dS = ds = tile.P * (tile.dP - D_i)
                on_s = on_S
                if tile.t is not None:
                    slope = 1 - tile.t * tile.t
                    assert job.options.softcap is not None
                    on_s = on_S * slope - dS * tile.E * (2 / job.options.softcap) * tile.t * slope
                    ds = dS * slope
                PZ = tile.P if tile.Z is None else tile.P * tile.Z
                on_dP = PZ * (tile.A - a_i)
                out_q_i.baddbmm_(on_s, K_j, alpha=α).baddbmm_(ds, W_j, alpha=α)
                out_k.narrow(1, j0, width).baddbmm_(on_s.mT, Q_i, alpha=α).baddbmm_(ds.mT, U_i, alpha=α)
                out_v.narrow(1, j0, width).baddbmm_(on_dP.mT, dO_i)
                out_dO_i.baddbmm_(on_dP, V_j).baddbmm_(PZ, Y_j)
        if to_sink is not None and σ is not None:
            slab.add_to_heads(to_sink, P_sink * (-D_all * slab.of_rows(σ) - r_all))
        for into, rows_of in ((to_q, out_q), (to_dO, out_dO), (to_dL.unsqueeze(-1), a_all)):
            slab.put_rows(into, rows_of)
        to_k[slab.b, slab.kv], to_v[slab.b, slab.kv] = out_k, out_v
    narrow = [
        None if x is None or of is None else x.to(of.dtype)
        for x, of in ((to_mask, job.mask), (to_sink, job.sink))
    ]
    return to_q, to_k, to_v, *narrow, to_dO, to_dL


def _tile(
    scores: Scores,
    slab: Slab,
    choices: Choices | None,
    of_block: tuple[Tensor, ...],
    of_keys: tuple[Tensor, ...],
    M: Tensor | None,
    i0: int,
    j0: int,
) -> _Tile:
    job, capped = slab.job, list[Tensor]()
    (Q_i, U_i, dO_i, L_i), (K_j, V_j, W_j, Y_j) = of_block, of_keys
    P = powers(job, scores.tile(slab, Q_i, K_j, i0, j0, capped), L_i * job.unit)
    dP, F = torch.bmm(dO_i, V_j.mT), torch.bmm(dO_i, Y_j.mT)
    Z = None
    if choices is not None:
        Z = scores.kept(choices, P, i0, j0).div_(1 - job.options.dropout_p)
        dP, F = dP.mul_(Z), F.mul_(Z)
    E = torch.bmm(U_i, K_j.mT).baddbmm_(Q_i, W_j.mT).mul_(job.options.scale)
    A, t = E, None
    if capped:
        t = capped[0]
        A = E * (1 - t * t)
    if M is not None:
        by_query = torch.unflatten(A, 1, (-1, job.groups))
        part = part_of_mask(slab, M, range(i0, i0 + by_query.shape[1]), range(j0, j0 + A.shape[2]))
        A = (by_query + part).flatten(1, 2)
    return _Tile(P, dP, E, A, F, t, Z)


def share_of_sink(slab: Slab, sink: Tensor, L: Tensor) -> Tensor:
    """e^(sink − L), the probability of the sink, (g, Nq · groups, 1)."""
    return (slab.of_rows(sink) - finite(L)).exp_()
