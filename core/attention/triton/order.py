"""Which block of which sequence a program computes, and which of its tiles an edge of the band crosses."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_of(sequences, section, LAST_FIRST: tl.constexpr):
    """(block, sequence) of this program; a sequence is a head of an element of the batch.

    The programs lie on one axis, which alone may be longer than 65,535, and start about in their order. The
    longest blocks come first, so that what is left at the end is short; and that within a section of
    sequences whose rows fit into the L2 cache together, since every block of a sequence reads them again.
    """
    program = tl.program_id(0)
    blocks = tl.num_programs(0) // sequences
    first = program // (blocks * section) * section
    width = tl.minimum(section, sequences - first)  # the last section may be smaller
    rest = program - first * blocks
    block = rest // width
    if LAST_FIRST:
        block = blocks - 1 - block
    return block, first + rest % width


@triton.jit
def keys_of(i0, queries, keys, low, high, KIND: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """start ≤ full ≤ end ≤ stop: keys from start to stop are in the band of some query of the block, those
    of the tiles from full to end in that of all (but that full may be past stop, where there are none such)."""
    start, stop, full, end = 0, keys, 0, keys
    if KIND.LOW:
        last = tl.minimum(i0 + BLOCK_M, queries) - 1
        start = tl.maximum(0, i0 + low) // BLOCK_N * BLOCK_N
        full = tl.cdiv(tl.maximum(0, last + low), BLOCK_N) * BLOCK_N
    if KIND.HIGH:
        stop = tl.minimum(keys, tl.maximum(0, i0 + BLOCK_M + high))
        end = tl.minimum(keys, tl.maximum(0, i0 + high + 1))
    full = tl.minimum(full, tl.cdiv(tl.maximum(start, stop), BLOCK_N) * BLOCK_N)
    return start, full, tl.maximum(end // BLOCK_N * BLOCK_N, full), stop


@triton.jit
def queries_of(
    j0, queries, keys, low, high, KIND: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr
):
    """As `keys_of`: the queries whose band has some key of the block, and those whose band has all.

    The ends of both are no edge: keys past the last are in rows of dK and dV that nobody stores, and queries
    past the last are read as 0 and add nothing.
    """
    start, stop, full, end = 0, queries, 0, queries
    if KIND.HIGH:
        last = tl.minimum(j0 + BLOCK_N, keys) - 1
        start = tl.maximum(0, j0 - high) // BLOCK_M * BLOCK_M
        full = tl.cdiv(tl.maximum(0, last - high), BLOCK_M) * BLOCK_M
    if KIND.LOW:
        stop = tl.minimum(queries, tl.maximum(0, j0 + BLOCK_N - low))
        end = tl.minimum(queries, tl.maximum(0, j0 - low + 1))
        end = end // BLOCK_M * BLOCK_M
    full = tl.minimum(full, tl.cdiv(tl.maximum(start, stop), BLOCK_M) * BLOCK_M)
    return start, full, tl.maximum(end, full), stop
