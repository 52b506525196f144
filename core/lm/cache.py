"""Keys and values of earlier tokens, in memory that was allocated once.

All rows of a batch stand at the same column: prompts are padded on the left, which rotary positions do not notice,
because they only know differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Cache:
    """Attributes:
    keys, values: (layers, rows, kv_heads, room, head_dim).
    starts: (rows,), the first column of a row that is no padding; None where no row is padded.
    length: the columns that are filled.
    """

    keys: Tensor
    values: Tensor
    starts: Tensor | None = None
    length: int = 0

    def extended(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Add k and v (rows, kv_heads, new, head_dim); all keys and values so far, and who may see what.

        The mask (rows, 1, new, columns) is None where `causal` says it all.
        """
        first, last = self.length, self.length + k.shape[2]
        self.keys[layer, :, :, first:last] = k
        self.values[layer, :, :, first:last] = v
        seen = self.keys[layer, :, :, :last], self.values[layer, :, :, :last]
        return *seen, self._mask(first, last)

    def _mask(self, first: int, last: int) -> Tensor | None:
        if self.starts is None:
            return None
        columns = torch.arange(last, device=self.starts.device)
        mask = (columns >= self.starts[:, None]).view(-1, 1, 1, last)
        if last - first > 1:
            mask = mask & (columns <= torch.arange(first, last, device=columns.device)[:, None])
        return mask

    def repeated(self, times: int, room: int) -> Cache:
        """Each row so many times in a row, with room for `room` columns: one prefill shared by a group."""
        layers, rows, heads, _, width = self.keys.shape
        wider = []
        for old in (self.keys, self.values):
            new = old.new_empty(layers, rows, times, heads, room, width)
            new[..., : self.length, :] = old[:, :, None, :, : self.length]
            wider.append(new.flatten(1, 2))
        starts = None if self.starts is None else self.starts.repeat_interleave(times)
        return Cache(wider[0], wider[1], starts, self.length)

    def kept(self, rows: Tensor) -> Cache:
        """Only these rows."""
        starts = None if self.starts is None else self.starts[rows]
        return Cache(self.keys[:, rows], self.values[:, rows], starts, self.length)


def empty(shape: tuple[int, ...], like: Tensor, starts: Tensor | None = None) -> Cache:
    """Nothing yet, and room for it: `shape` is (layers, rows, kv_heads, room, head_dim), dtype and device are `like`'s."""
    keys, values = (torch.empty(shape, dtype=like.dtype, device=like.device) for _ in range(2))
    return Cache(keys, values, starts)
