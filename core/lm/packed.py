"""Sequences behind each other, without padding; some go on from another one, whose tokens are there once for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """The places of the tokens of sequences, on the CPU.

    Attributes:
        first: (sequences + 1,) int64: sequence s is the tokens first[s] … first[s + 1] − 1; it has at least one.
        beginning: (sequences,) int64: the sequence that s goes on from, an earlier one, which itself goes on from none; or
            −1.
        positions: (tokens,) int32, each token's position, that of its beginning included.
    """

    first: Tensor
    beginning: Tensor
    positions: Tensor

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence, its beginning included."""
        return int(self.positions.max()) + 1 if len(self.positions) else 0


def packed(lengths: Tensor, beginning: Tensor) -> Packed:
    """Sequences of these lengths (sequences,), int64."""
    first = torch.zeros(len(lengths) + 1, dtype=torch.int64, device="cpu")
    torch.cumsum(lengths, 0, out=first[1:])
    before = torch.where(beginning >= 0, lengths[beginning], 0)
    positions = torch.arange(int(first[-1]), device="cpu") + (before - first[:-1]).repeat_interleave(lengths)
    return Packed(first, beginning, positions.to(torch.int32))


def rectangle(rows: int, length: int) -> Packed:
    """Sequences of one length, none of which goes on from another."""
    lengths, beginning = (torch.full((rows,), n, device="cpu") for n in (length, -1))
    return packed(lengths, beginning)
