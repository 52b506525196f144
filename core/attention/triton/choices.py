"""The choices of `dropout.Choices`, made in the kernel from the seed: no bits lie in memory."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import dropout

GOLDEN = tl.constexpr(dropout.GOLDEN)
FIRST, SECOND = tl.constexpr(dropout.FIRST), tl.constexpr(dropout.SECOND)
PAIR_FIRST, PAIR_SECOND = tl.constexpr(dropout.PAIR_FIRST), tl.constexpr(dropout.PAIR_SECOND)
OF_KEYS = tl.constexpr(dropout.OF_KEYS)


@triton.jit
def mixed(z):
    """The finaliser of SplitMix64, of uint64."""
    z = (z ^ (z >> 30)) * FIRST
    z = (z ^ (z >> 27)) * SECOND
    return z ^ (z >> 31)


@triton.jit
def seed_of(seed, b):
    """The seed of element b of the batch, uint64."""
    return seed.to(tl.int64).to(tl.uint64, bitcast=True) + b.to(tl.uint64) * GOLDEN


@triton.jit
def row_bits(seed_b, h, i):
    """uint32 for each of the queries i of head h."""
    of_head = mixed(seed_b ^ ((h.to(tl.uint64) + 1) * GOLDEN))
    return (mixed(of_head + i.to(tl.uint64) * GOLDEN) >> 32).to(tl.uint32)


@triton.jit
def column_bits(seed_b, j):
    """uint32 for each of the keys j, the same for all heads."""
    return (mixed(mixed(seed_b ^ OF_KEYS) + j.to(tl.uint64) * GOLDEN) >> 32).to(tl.uint32)


@triton.jit
def kept(rows, columns, threshold):
    """Whether the probability of each pair stays."""
    bits = (rows ^ columns) * PAIR_FIRST
    bits = (bits ^ (bits >> 15)) * PAIR_SECOND
    return bits.to(tl.int32, bitcast=True) >= threshold
