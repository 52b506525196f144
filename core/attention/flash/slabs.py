"""The heads that flash attention works on together.

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

from ..arguments import Options
from ..band import Band, band_of
from ..dropout import Choices, choices, seed_of
from .tiles import Block, Plan

LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class Job:
    """One call of flash attention: q (B, H, Nq, d), k (B, H_kv, Nk, d), v (B, H_kv, Nk, d_v), and how.

    Attributes:
        mask, sink: in place of those of `options`, because autograd hands them on by themselves.
        is_careful: masked entries may be NaN or infinite, see `masked_products`.
        is_large: a score times log₂e may be so large that its rounding is more than an exponent, see `powers`.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    sink: Tensor | None
    options: Options
    plan: Plan
    is_careful: bool = False
    is_large: bool = False

    @cached_property
    def groups(self) -> int:
        """Heads of q that share a head of k and v."""
        return self.q.shape[1] // self.k.shape[1]

    @cached_property
    def band(self) -> Band:
        return band_of(self.q.shape[2], self.k.shape[2], self.options)

    @cached_property
    def dtype(self) -> torch.dtype:
        """What sums are kept in."""
        return torch.float64 if self.q.dtype == torch.float64 else torch.float32

    @property
    def unit(self) -> float:
        """What maxima and log-sum-exps are kept times of."""
        return 1.0 if self.is_large else LOG2_E

    def slabs(self) -> Iterator[Slab]:
        batch, kv_heads = self.k.shape[:2]
        for b in range(batch):
            for h in range(0, kv_heads, self.plan.kv_heads):
                yield Slab(self, b, slice(h, min(h + self.plan.kv_heads, kv_heads)))

    def room(self, dtype: torch.dtype | None = None) -> Tensor:
        """Memory for the largest tile."""
        rows = min(self.plan.rows, self.q.shape[2]) * self.groups
        size = self.plan.kv_heads * rows * min(self.plan.keys, self.k.shape[2])
        return torch.empty(size, dtype=dtype or self.dtype, device=self.q.device)

    @cached_property
    def after(self) -> Tensor:
        """(rows of a block, its queries): −∞ where a key comes after the diagonal that begins in the corner, else 0."""
        return self._nothing.triu(1).repeat_interleave(self.groups, 0)

    @cached_property
    def before(self) -> Tensor:
        """The same where a key comes before it."""
        return self._nothing.tril(-1).repeat_interleave(self.groups, 0)

    @cached_property
    def _nothing(self) -> Tensor:
        queries = min(self.plan.rows, self.q.shape[2])
        return torch.full((queries, queries), -math.inf, dtype=self.dtype, device=self.q.device)


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
        return torch.unflatten(x[self.b, self.heads.start : self.heads.stop], 0, (-1, self.job.groups))

    def blocks(self, *tensors: Tensor) -> Iterator[tuple[Block, tuple[Tensor, ...]]]:
        """Each block of queries, with its rows of tensors that `rows` made."""
        job = self.job
        blocks = list(job.plan.blocks(job.q.shape[2], job.k.shape[2], job.band))
        if not blocks:
            return
        # Split at once: a view made by an index of its own costs Python about as much as the smallest operation.
        first, last, height = (n * job.groups for n in (blocks[0].i0, blocks[-1].i1, job.plan.rows))
        yield from zip(
            blocks,
            zip(*(torch.split(x[:, first:last], height, 1) for x in tensors), strict=True),
            strict=True,
        )

    def by_head(self, x: Tensor) -> Tensor:
        """(g, groups, …) of what has the heads of q as its first dimension, or one for all."""
        if x.shape[0] == 1:
            return x.unsqueeze(0)
        heads = self.heads
        return torch.unflatten(x[heads.start : heads.stop], 0, (-1, self.job.groups))

    def of_rows(self, x: Tensor) -> Tensor:
        """(g, Nq · groups, 1) of what has a number for each head of q."""
        rows = self.by_head(x).unsqueeze(1).expand(-1, self.job.q.shape[2], -1)
        return rows.flatten(1).unsqueeze(-1)

    def add_to_heads(self, x: Tensor, rows: Tensor) -> None:
        """Add to `x`, a number for each head of q, the sums of what `of_rows` would read."""
        by_query = torch.unflatten(rows.squeeze(-1), 1, (-1, self.job.groups))
        x[self.heads.start : self.heads.stop] += by_query.sum(1).flatten()

    @property
    def heads(self) -> range:
        """Of q."""
        return range(self.kv.start * self.job.groups, self.kv.stop * self.job.groups)

    def choices(self) -> Choices | None:
        """What dropout keeps, its rows (g, Nq · groups)."""
        job, (queries, keys) = self.job, (self.job.q.shape[2], self.job.k.shape[2])
        p, seed = job.options.dropout_p, job.options.dropout_seed
        if not p:
            return None
        assert seed is not None  # drawn before there is a job, once for both passes
        made = choices(p, seed_of(seed, self.b), self.heads, queries, keys, job.q.device)
        rows = torch.unflatten(made.rows, 0, (-1, job.groups)).transpose(1, 2).flatten(1)
        return Choices(rows, made.columns, made.threshold)


def finite(m: Tensor) -> Tensor:
    """m, with the lowest finite number for −∞, which a row has before its first key: −∞ − (−∞) would be NaN."""
    return m.clamp_min(torch.finfo(m.dtype).min)


def powers(job: Job, S: Tensor, t: Tensor) -> Tensor:
    """2^(S·log₂e − t) in the place of S, with t = m·log₂e: e^(S − m); 0 where both are −∞.

    Product and difference take one pass and one rounding (PyTorch's CPU kernel of `add` has a fused multiply-add).
    Scaling the scores by log₂e beforehand would cost as much and round numbers half again as large: for scores around
    100 a third more error than the rule allows. t is rounded once, so that its error is the same in all of a row and
    cancels.

    From 2^31 on that error exceeds any exponent, and a row would become 0 or infinite. For a job with large scores t is
    m, and the difference comes first: one more pass, and exact for the largest score.
    """
    if job.is_large:
        return S.sub_(finite(t)).mul_(LOG2_E).exp2_()
    return torch.add(finite(t).neg_(), S, alpha=LOG2_E, out=S).exp2_()
