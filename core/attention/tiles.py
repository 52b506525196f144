"""Which tiles of the scores flash attention computes, and how large they are.

The same walk drives the computation (flash.py) and the count of its work, so what is counted is what is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ROWS = 256
"""Queries of a tile: fewer make the matrix products slow."""
CAUSAL_ROWS = 128
"""The same where tiles end at the diagonal: half a square of each block is computed in vain."""
KEYS = 2048
"""Keys of a tile; rows of more are rescaled. Half as many take 5 to 8% longer, twice as many are no faster."""
KEYS_BACKWARD = 1024
"""Of the backward pass, which holds two tiles at a time."""
SCORES = 256 * 2048
"""Scores of the tiles of several heads, 2 MB in float32: more would be read from memory."""
SCORES_CUDA = 1 << 25
"""On a GPU a tile must be large enough for one kernel to fill the device."""


@dataclass(frozen=True)
class Block:
    """Queries i0 … i1 − 1, and the tiles of keys that they need: (first key, how many)."""

    i0: int
    i1: int
    tiles: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Plan:
    """How the scores of a few heads are cut.

    Attributes:
        rows: queries of a block (B_r), for each of the heads that share keys.
        keys: keys of a tile (B_c), at most.
        kv_heads: heads of k and v that are worked on together.
    """

    rows: int
    keys: int
    kv_heads: int

    def blocks(self, queries: int, keys: int, *, causal: bool) -> Iterator[Block]:
        """The blocks of queries from first to last. Queries that see no key at all are in none.

        With `causal`, the last query of a block is the last that a key may serve, and tiles end there.
        """
        shift = keys - queries  # query i sees the keys up to i + shift
        first = max(0, -shift) if causal else 0
        if keys == 0:
            return
        for i0 in range(first, queries, self.rows):
            i1 = min(i0 + self.rows, queries)
            end = i1 + shift if causal else keys
            yield Block(i0, i1, tuple((j0, min(self.keys, end - j0)) for j0 in range(0, end, self.keys)))


def plan(
    groups: int, kv_heads: int, keys: int, *, causal: bool, backward: bool = False, on_cuda: bool = False
) -> Plan:
    """Tiles that stay in a processor's cache.

    Args:
        groups: heads of q that share one head of k and v; they are worked on together.
        kv_heads: heads of k and v.
        keys: their length.
        backward: the plan of the backward pass.
    """
    rows = max(16, (CAUSAL_ROWS if causal else ROWS) // groups)
    scores, most = SCORES, KEYS_BACKWARD if backward else KEYS
    if on_cuda:
        scores, most = SCORES_CUDA, SCORES_CUDA // (rows * groups)
    width = max(1, min(keys, most))
    return Plan(rows, width, max(1, min(kv_heads, scores // (rows * groups * width))))


def computed_scores(queries: int, keys: int, *, causal: bool, groups: int = 1, kv_heads: int = 1) -> int:
    """How many scores flash attention computes for one head, counted tile by tile."""
    cut = plan(groups, kv_heads, keys, causal=causal)
    blocks = cut.blocks(queries, keys, causal=causal)
    return sum((block.i1 - block.i0) * width for block in blocks for _, width in block.tiles)
