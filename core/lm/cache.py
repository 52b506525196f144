"""Keys and values of earlier tokens: in memory that was allocated once, or shared by the rows that go on from them.

All rows of a batch end at the same column: prompts are padded on the left. Where positions depend on differences alone a
token's column is enough; others count from the first column that is no padding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Cache:
    """Attributes:
    keys, values: (layers, rows, kv_heads, room, head_dim). starts: (rows,), the first column of a row that is no
    padding; None where no row is padded. length: the columns that are filled.
    """

    keys: Tensor
    values: Tensor
    starts: Tensor | None = None
    length: int = 0

    def extended(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add k and v (rows, kv_heads, new, head_dim); all keys and values so far."""
        last = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : last] = k
        self.values[layer, :, :, self.length : last] = v
        return self.keys[layer, :, :, :last], self.values[layer, :, :, :last]

    def positions(self, new: Tensor) -> Tensor:
        """Of the tokens new (rows, new): (new,), or (rows, new) where rows are padded, 0 in padding."""
        column = torch.arange(self.length, self.length + new.shape[1], device=new.device)
        return column if self.starts is None else (column - self.starts[:, None]).clamp(min=0)

    def mask(self, new: int) -> Tensor | None:
        """The attention mask of so many new tokens, (rows, 1, new, columns), True: may attend; None where `causal` is enough."""
        if self.starts is None:
            return None
        last = self.length + new
        columns = torch.arange(last, device=self.starts.device)
        mask = (columns >= self.starts[:, None]).view(-1, 1, 1, last)
        return mask & (columns <= columns[self.length :, None]) if new > 1 else mask

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


@dataclass
class Shared:
    """Keys and values of the beginning that several rows have in common, computed once; gradients flow through them.

    Attributes:
        keys, values: by layer, (beginnings, kv_heads, length, head_dim).
        of: (rows,), which beginning a row goes on from; None while the beginnings themselves are read.
        length: their columns.
    """

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    of: Tensor | None = None
    length: int = 0

    def extended(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k and v (rows, kv_heads, new, head_dim) behind those of the row's beginning, or kept as that of others."""
        if self.of is None:
            self.keys.append(k)
            self.values.append(v)
            return k, v
        return torch.cat([self.keys[layer][self.of], k], 2), torch.cat([self.values[layer][self.of], v], 2)

    def positions(self, new: Tensor) -> Tensor:
        """Of the tokens new (rows, new): (new,)."""
        return torch.arange(self.length, self.length + new.shape[1], device=new.device)

    def mask(self, new: int) -> None:
        """None, as `causal` suffices: no padding precedes a token."""


def empty(shape: tuple[int, ...], like: Tensor, starts: Tensor | None = None) -> Cache:
    """Nothing yet, and room for it: `shape` is (layers, rows, kv_heads, room, head_dim), dtype and device are `like`'s."""
    keys, values = (torch.empty(shape, dtype=like.dtype, device=like.device) for _ in range(2))
    return Cache(keys, values, starts)
