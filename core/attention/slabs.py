"""The heads that flash attention works on together, and the scores of one of their tiles.

A slab is some heads of k and v of one element of the batch, with the heads of q that share them. Queries that share keys
stand below each other, (heads of k, queries · groups, d), the groups of one query side by side: a block of queries is
then a block of rows, whatever the number of groups, and where there is one group nothing is copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .tiles import Block, Plan

LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class Job:
    """What is asked of flash attention: q (B, H, Nq, d), k (B, H_kv, Nk, d), v (B, H_kv, Nk, d_v), and how."""

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    causal: bool
    scale: float
    plan: Plan

    @cached_property
    def groups(self) -> int:
        """Heads of q that share a head of k and v."""
        return self.q.shape[1] // self.k.shape[1]

    @cached_property
    def shift(self) -> int:
        """Query i stands beside the key i + shift, so that the last stand beside each other."""
        return self.k.shape[2] - self.q.shape[2]

    @cached_property
    def dtype(self) -> torch.dtype:
        """What sums are kept in."""
        return torch.float64 if self.q.dtype == torch.float64 else torch.float32

    def slabs(self) -> Iterator[Slab]:
        batch, kv_heads = self.k.shape[:2]
        for b in range(batch):
            for h in range(0, kv_heads, self.plan.kv_heads):
                yield Slab(self, b, slice(h, min(h + self.plan.kv_heads, kv_heads)))

    def room(self) -> Tensor:
        """Memory for the largest tile."""
        rows = min(self.plan.rows, self.q.shape[2]) * self.groups
        width = min(self.plan.keys, self.k.shape[2])
        return torch.empty(self.plan.kv_heads * rows * width, dtype=self.dtype, device=self.q.device)

    @cached_property
    def beyond_diagonal(self) -> Tensor:
        """(rows of a block, its queries): −∞ where a key comes after the query of the row, else 0."""
        queries = min(self.plan.rows, self.q.shape[2])
        none = torch.full((queries, queries), -math.inf, dtype=self.dtype, device=self.q.device)
        return none.triu_(1).repeat_interleave(self.groups, 0)


@dataclass(frozen=True)
class Slab:
    """Heads `kv` of k and v of the element `b` of the batch, with the heads of q that share them."""

    job: Job
    b: int
    kv: slice

    def shared(self, x: Tensor) -> Tensor:
        """(g, Nk, ·) of k or v, in the dtype of the sums."""
        part = x[self.b, self.kv].to(self.job.dtype)
        return part if part.stride(-1) == 1 else part.contiguous()

    def rows(self, x: Tensor) -> Tensor:
        """(g, Nq · groups, ·) of what has the heads of q; a view where there is one group."""
        return self._grouped(x).transpose(1, 2).flatten(1, 2)

    def put_rows(self, x: Tensor, rows: Tensor) -> None:
        """Write what `rows` would read."""
        into = self._grouped(x)
        into.copy_(torch.unflatten(rows, 1, (into.shape[2], self.job.groups)).transpose(1, 2))

    def _grouped(self, x: Tensor) -> Tensor:
        heads = slice(self.kv.start * self.job.groups, self.kv.stop * self.job.groups)
        return torch.unflatten(x[self.b, heads], 0, (-1, self.job.groups))

    def blocks(self, *tensors: Tensor) -> Iterator[tuple[Block, tuple[Tensor, ...]]]:
        """Each block of queries, with its rows of tensors that `rows` made."""
        job = self.job
        blocks = list(job.plan.blocks(job.q.shape[2], job.k.shape[2], causal=job.causal))
        if not blocks:
            return
        # Split at once: a view made by an index of its own costs Python about as much as the smallest operation.
        first, height = blocks[0].i0 * job.groups, job.plan.rows * job.groups
        yield from zip(
            blocks, zip(*(torch.split(x[:, first:], height, 1) for x in tensors), strict=True), strict=True
        )

    def scores(self, Q_i: Tensor, K_j: Tensor, i0: int, j0: int, room: Tensor) -> Tensor:
        """S_ij·log₂e of queries from i0 and keys from j0, in `room`; what must not be seen is −∞.

        Q_i is (g, rows, d), K_j (g, columns, d).
        """
        g, rows, columns = *Q_i.shape[:2], K_j.shape[1]
        S = room.narrow(0, 0, g * rows * columns).view(g, rows, columns)
        torch.baddbmm(S, Q_i, K_j.mT, beta=0, alpha=self.job.scale * LOG2_E, out=S)
        if self.job.causal:
            self._hide_beyond_diagonal(S, i0, j0)
        if self.job.mask is not None:
            self._apply_mask(S, i0, j0)
        return S

    def _hide_beyond_diagonal(self, S: Tensor, i0: int, j0: int) -> None:
        """The first query sees keys up to i0 + shift, the next one more, and so on."""
        groups, diagonal = self.job.groups, i0 + self.job.shift
        first, last = max(j0, diagonal), min(j0 + S.shape[2], diagonal + S.shape[1] // groups)
        if first >= last:
            return
        corner, beyond = S.narrow(2, first - j0, last - first), self.job.beyond_diagonal
        if corner.shape[1:] != beyond.shape:
            beyond = beyond[: S.shape[1], first - diagonal : last - diagonal]
        if groups == 1:
            # Zeros first, because −∞ + NaN would be NaN. Twice as fast as filling by a boolean mask.
            corner.tril_(diagonal - first).add_(beyond)
        else:
            corner.masked_fill_(beyond.isneginf(), -math.inf)

    def _apply_mask(self, S: Tensor, i0: int, j0: int) -> None:
        job = self.job
        assert job.mask is not None
        seen = torch.unflatten(S, 1, (-1, job.groups))
        whole = job.mask.expand(*job.q.shape[:3], job.k.shape[2])
        mask = self._grouped(whole).transpose(1, 2)[:, i0 : i0 + seen.shape[1], :, j0 : j0 + S.shape[2]]
        if mask.dtype == torch.bool:
            seen.masked_fill_(~mask, -math.inf)
        else:
            seen.add_(mask, alpha=LOG2_E)
