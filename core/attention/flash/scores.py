"""The scores of one tile, as the softmax gets them.

In the order of FlashAttention's kernels: scale, soft cap, ALiBi, masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..band import distances
from ..dropout import Choices
from .slabs import Job, Slab


@dataclass(frozen=True)
class Scores:
    """Makes tiles in memory of its own, which the next tile overwrites."""

    job: Job

    @cached_property
    def _room(self) -> Tensor:
        return self.job.room()

    @cached_property
    def _capped_room(self) -> Tensor:
        return self.job.room()

    @cached_property
    def _mask_room(self) -> Tensor:
        return self.job.room(torch.int32 if self.job.dtype == torch.float32 else torch.int64)

    @cached_property
    def _rooms_of_kept(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.job.room(torch.int32), self.job.room(torch.int32), self.job.room()

    def kept(self, choices: Choices, P: Tensor, i0: int, j0: int) -> Tensor:
        """What dropout multiplies the tile P (g, rows, columns) with, but for its scale: 1 or 0."""
        bits, shifted, room = self._rooms_of_kept
        i0 *= self.job.groups
        rows, columns = choices.rows[:, i0 : i0 + P.shape[1]], choices.columns[j0 : j0 + P.shape[2]]
        rooms = iter((bits, shifted))
        out = room.narrow(0, 0, P.numel()).view(P.shape)
        return choices.kept(rows, columns, lambda size: next(rooms).narrow(0, 0, size), out)

    def tile(
        self, slab: Slab, Q_i: Tensor, K_j: Tensor, i0: int, j0: int, capped: list[Tensor] | None = None
    ) -> Tensor:
        """S_ij of queries from i0 and keys from j0; masked ones are −∞.

        Q_i is (g, rows, d), K_j (g, columns, d).

        `capped` gets tanh(s/c) with a soft cap, which the backward pass needs.
        """
        g, rows, columns = *Q_i.shape[:2], K_j.shape[1]
        options, size = self.job.options, (g, rows, columns)
        S = self._room.narrow(0, 0, g * rows * columns).view(size)
        if options.softcap is None:
            torch.baddbmm(S, Q_i, K_j.mT, beta=0, alpha=options.scale, out=S)
        else:
            t = S
            if capped is not None:
                t = self._capped_room.narrow(0, 0, g * rows * columns).view(size)
                capped.append(t)
            torch.baddbmm(t, Q_i, K_j.mT, beta=0, alpha=options.scale / options.softcap, out=t)
            torch.mul(t.tanh_(), options.softcap, out=S)
        if options.alibi_slopes is not None:
            self._subtract_alibi(slab, S, i0, j0, options.alibi_slopes)
        if self.job.mask is not None:
            self._apply_mask(slab, S, i0, j0, self.job.mask)
        self._mask_outside_band(S, i0, j0)  # last, because what is added may be NaN there
        return S

    def mask(self, S: Tensor, capped: Sequence[Tensor] = ()) -> Tensor | None:
        """The mask of a tile where the job is careful, else None; `capped` becomes 0 where it is False."""
        if not self.job.is_careful:
            return None
        mask = S.isneginf().logical_not_()
        for t in capped:
            t.masked_fill_(~mask, 0)
        return mask

    def _subtract_alibi(self, slab: Slab, S: Tensor, i0: int, j0: int, slopes: Tensor) -> None:
        by_query = torch.unflatten(S, 1, (-1, self.job.groups))
        rows, columns = range(i0, i0 + by_query.shape[1]), range(j0, j0 + S.shape[2])
        far = distances(rows, columns, self.job.band.shift, slopes)
        of_heads = slab.by_head(slopes[slab.b if len(slopes) > 1 else 0].to(S.dtype))
        by_query.addcmul_(far.unsqueeze(1), of_heads[:, None, :, None], value=-1)

    def _mask_outside_band(self, S: Tensor, i0: int, j0: int) -> None:
        """The first query of a tile attends to the keys i0 + low … i0 + high, the next one to those one further, and so on."""
        low, high = self.job.band.low, self.job.band.high
        if high is not None:
            self._mask_side(S, i0 + high - j0, self.job.after, Tensor.tril_)
        if low is not None:
            self._mask_side(S, i0 + low - j0, self.job.before, Tensor.triu_)

    def _mask_side(
        self, S: Tensor, diagonal: int, side: Tensor, keep: Callable[[Tensor, int], Tensor]
    ) -> None:
        """Mask one side of the diagonal that begins in the tile's first row at that column.

        Args:
            side: (queries, queries), −∞ on that side of the main diagonal and 0 elsewhere.
            keep: `tril_` or `triu_`, which sets that side to 0.

        The tiles of a block end with its last diagonal, so only a corner of them is concerned.
        """
        queries = S.shape[1] // self.job.groups
        first, last = max(0, diagonal), min(S.shape[2], diagonal + queries)
        if first >= last:
            return
        corner = S.narrow(2, first, last - first)
        if corner.shape[1:] != side.shape:
            side = side[: S.shape[1], first - diagonal : last - diagonal]
        if self.job.groups == 1:
            # Zeros first, because −∞ + NaN would be NaN. Twice as fast as filling by a boolean mask.
            keep(corner, diagonal - first).add_(side)
        else:
            corner.masked_fill_(side.isneginf(), -math.inf)

    def _apply_mask(self, slab: Slab, S: Tensor, i0: int, j0: int, mask: Tensor) -> None:
        by_query = torch.unflatten(S, 1, (-1, self.job.groups))
        part = part_of_mask(slab, mask, range(i0, i0 + by_query.shape[1]), range(j0, j0 + S.shape[2]))
        if mask.dtype == torch.bool:
            self._mask_where_false(by_query, part)
        else:
            by_query.add_(part)
            if self.job.is_careful:
                by_query.masked_fill_(part.isneginf(), -math.inf)  # NaN + (−∞) is NaN

    def _mask_where_false(self, S: Tensor, mask: Tensor) -> None:
        """Write −∞ where the mask, broadcast, is False. By bits, in a fifth of the time that masked_fill takes: and with
        all ones or none, so that no NaN stays, then plus 0 or −∞."""
        word, minus_infinity = (
            (torch.int32, -(1 << 23)) if S.dtype == torch.float32 else (torch.int64, -(1 << 52))
        )
        room = self._mask_room.narrow(0, 0, mask.numel()).view(mask.shape)
        bits = room.copy_(mask).neg_()
        S.view(word).bitwise_and_(bits)
        S.add_(bits.bitwise_not_().bitwise_and_(minus_infinity).view(S.dtype))


def part_of_mask(slab: Slab, mask: Tensor, queries: range, keys: range) -> Tensor:
    """(g, queries, groups, keys) of a mask of four dimensions, each of these 1 where the mask is one for all."""
    part = slab.by_head(mask[slab.b if len(mask) > 1 else 0])
    if part.shape[2] > 1:
        part = part[:, :, queries.start : queries.stop]
    if part.shape[3] > 1:
        part = part[..., keys.start : keys.stop]
    return part.transpose(1, 2)


def add_to_mask(slab: Slab, dmask: Tensor, dS: Tensor, i0: int, j0: int) -> None:
    """Add the gradient of the scores of a tile to that of the mask, summed where the mask is one for all."""
    by_query = torch.unflatten(dS, 1, (-1, slab.job.groups))
    part = part_of_mask(slab, dmask, range(i0, i0 + by_query.shape[1]), range(j0, j0 + dS.shape[2]))
    part.add_(by_query.sum_to_size(part.shape))
