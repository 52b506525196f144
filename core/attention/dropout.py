"""Dropout whose every choice is a function of (seed, batch, head, query, key), so that no tile has to remember it.

A counter-based generator in the sense of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011): nothing is
drawn in turn, so forward and backward pass, tiles of any size and the textbook form all make the same choices. Each
(batch, head, query) and each (batch, key) gets 32 well-mixed bits (the finaliser of SplitMix64, Steele et al. 2014); the
bits of a pair are their exclusive or, mixed once more by multiplication, shift and multiplication (as in the finaliser
of MurmurHash3): seven cheap operations for each number of a tile. Good enough to drop probabilities, not for secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .arguments import Options

GOLDEN = 0x9E3779B97F4A7C15
WORD = 1 << 64
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64
PAIR_FIRST, PAIR_SECOND = 0x2C1B3C6D, 0x297A2D39  # odd, found to mix well by C. Wellons' "hash prospector"
OF_KEYS = 0x6B65797300000000


def drawn_seed() -> int:
    """A seed from PyTorch's own generator, so that `torch.manual_seed` makes dropout reproducible."""
    return int(torch.randint(1 << 62, (), device="cpu").item())


def seeded(options: Options) -> Options:
    """The options, with a seed drawn where there is dropout and none was given: once, for both passes."""
    if options.dropout_p and options.dropout_seed is None:
        return replace(options, dropout_seed=drawn_seed())
    return options


def seed_of(seed: int, batch: int) -> int:
    """The seed of one element of the batch: that of a batch which consists of this element alone."""
    return (seed + batch * GOLDEN) % WORD


@dataclass(frozen=True)
class Choices:
    """What is kept of the probabilities of some heads of one element of the batch.

    Attributes:
        rows: (heads, queries) or any shape that ends in queries, int32: the bits of each row.
        columns: (keys,), int32.
        least: what the bits of a pair must reach, as a signed number, to be kept.
    """

    rows: Tensor
    columns: Tensor
    least: int

    def kept(self, rows: Tensor, columns: Tensor, room: Callable[[int], Tensor], out: Tensor) -> Tensor:
        """1 where a probability is kept, else 0, in `out` (…, rows, columns).

        Args:
            rows, columns: some of our own.
            room: memory for so many int32; called twice, and the two must not overlap.
        """
        size = out.numel()
        bits = torch.bitwise_xor(rows.unsqueeze(-1), columns, out=room(size).view(out.shape))
        bits.mul_(PAIR_FIRST)
        # PyTorch's shift of a signed number brings its sign along, which is masked away.
        shifted = torch.bitwise_right_shift(bits, 15, out=room(size).view(out.shape))
        bits.bitwise_xor_(shifted.bitwise_and_(0x1FFFF)).mul_(PAIR_SECOND)
        return torch.ge(bits, self.least, out=out)


def choices(p: float, seed: int, heads: range, queries: int, keys: int, device: torch.device) -> Choices:
    """What is kept with probability 1 − p for these heads, by `seed_of` the element; rows are (heads, queries)."""
    of_heads = torch.tensor([signed(_mixed((seed ^ (h + 1) * GOLDEN) % WORD)) for h in heads], device=device)
    rows = _bits(of_heads.unsqueeze(1) + torch.arange(queries, device=device) * signed(GOLDEN))
    columns = _bits(torch.arange(keys, device=device) * signed(GOLDEN) + signed(_mixed(seed ^ OF_KEYS)))
    return Choices(rows, columns, least_of(p))


def least_of(p: float) -> int:
    """What the bits of a pair must reach, as a signed number, to be kept with probability 1 − p."""
    return min(round(p * 2**32), 2**32 - 1) - 2**31


def kept_of_all(p: float, seed: int, shape: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """(batch, heads, queries, keys), float32: 1 where a probability is kept, else 0."""
    batch, heads, queries, keys = shape
    out = torch.empty(shape, device=device, dtype=torch.float32)
    for b in range(batch):
        made = choices(p, seed_of(seed, b), range(heads), queries, keys, device)
        new: Callable[[int], Tensor] = lambda n: torch.empty(n, dtype=torch.int32, device=device)  # noqa: E731
        made.kept(made.rows, made.columns, new, out[b])
    return out


def _bits(counters: Tensor) -> Tensor:
    """The upper 32 bits of SplitMix64's finaliser, int64 to int32."""
    z = (counters ^ _shifted(counters, 30)) * signed(FIRST)
    z = (z ^ _shifted(z, 27)) * signed(SECOND)
    return ((z ^ _shifted(z, 31)) >> 32).to(torch.int32)


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by) & ((1 << 64 - by) - 1)


def _mixed(z: int) -> int:
    z = (z ^ z >> 30) * FIRST % WORD
    z = (z ^ z >> 27) * SECOND % WORD
    return z ^ z >> 31


def signed(x: int) -> int:
    """The same 64 bits as PyTorch takes them."""
    x %= WORD
    return x - WORD if x >= WORD // 2 else x
