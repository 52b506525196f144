"""The band of keys that a query may attend to by its position: causal order, a sliding window, either alignment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .arguments import Options


@dataclass(frozen=True)
class Band:
    """Query i stands beside the key i + shift, and may attend to the keys i + low … i + high.

    Attributes:
        low: None where nothing bounds what lies before.
        high: None where nothing bounds what comes after.
    """

    shift: int
    low: int | None = None
    high: int | None = None

    @property
    def is_everything(self) -> bool:
        return self.low is None and self.high is None

    def queries(self, queries: int, keys: int) -> range:
        """The queries that may attend to any key."""
        first = 0 if self.high is None else max(0, -self.high)
        last = queries if self.low is None else min(queries, keys - self.low)
        return range(first, last if keys else first)

    def keys(self, i0: int, i1: int, keys: int) -> range:
        """The keys that any of the queries i0 … i1 − 1 may attend to."""
        start = 0 if self.low is None else max(0, i0 + self.low)
        return range(start, keys if self.high is None else min(keys, i1 + self.high))

    def width(self, rows: int, keys: int) -> int:
        """The largest number of keys that so many queries in a row may attend to."""
        return keys if self.low is None or self.high is None else min(keys, self.high - self.low + rows)

    def mask(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """(queries, keys), True where the query may attend to the key; None where every query may attend to all."""
        if self.is_everything:
            return None
        mask = torch.ones(queries, keys, dtype=torch.bool, device=device)
        if self.high is not None:
            mask.tril_(self.high)
        return mask if self.low is None else mask.triu_(self.low)


def band_of(queries: int, keys: int, options: Options) -> Band:
    """The band of so many queries beside so many keys."""
    shift = keys - queries if options.shift is None else options.shift
    left, right = options.window_size or (-1, -1)
    if options.causal:
        right = 0
    return Band(shift, None if left < 0 else shift - left, None if right < 0 else shift + right)


def distances(rows: range, columns: range, shift: int, like: Tensor) -> Tensor:
    """(rows, columns) of the dtype and device of `like`: the distance of each key from the query's position."""
    at = torch.arange(rows.start + shift, rows.stop + shift, device=like.device, dtype=like.dtype)
    keys = torch.arange(columns.start, columns.stop, device=like.device, dtype=like.dtype)
    return (keys - at.unsqueeze(1)).abs_()
