"""Which tiles of the scores flash attention computes, and how large they are.

The same walk drives the computation (`backend`) and the count of its work, so what is counted is what is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..band import Band

ROWS = 256
"""Queries of a tile: fewer make the matrix products slow."""
BAND_ROWS = 128
"""The same where tiles begin or end at a diagonal: half a square of each block is computed in vain."""
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

    def blocks(self, queries: int, keys: int, band: Band) -> Iterator[Block]:
        """The blocks of queries from first to last. Queries that see no key at all are in none.

        The tiles of a block begin at the first key that its first query sees and end at the last that its last one does.
        """
        attending = band.queries(queries, keys)
        for i0 in range(attending.start, attending.stop, self.rows):
            i1 = min(i0 + self.rows, attending.stop)
            columns = band.keys(i0, i1, keys)
            yield Block(
                i0, i1, tuple((j0, min(self.keys, columns.stop - j0)) for j0 in columns[:: self.keys])
            )


def plan(
    groups: int, kv_heads: int, keys: int, band: Band, *, backward: bool = False, on_cuda: bool = False
) -> Plan:
    """Tiles that stay in a processor's cache.

    Args:
        groups: heads of q that share one head of k and v; they are worked on together.
        kv_heads: heads of k and v.
        keys: their length.
        backward: the plan of the backward pass.
    """
    rows = max(16, (ROWS if band.is_everything else BAND_ROWS) // groups)
    scores, most = SCORES, KEYS_BACKWARD if backward else KEYS
    if on_cuda:
        scores, most = SCORES_CUDA, SCORES_CUDA // (rows * groups)
    width = max(1, min(band.width(rows, keys), most))
    return Plan(rows, width, max(1, min(kv_heads, scores // (rows * groups * width))))


def computed_scores(queries: int, keys: int, band: Band, *, groups: int = 1, kv_heads: int = 1) -> int:
    """How many scores flash attention computes for one head, counted tile by tile."""
    blocks = plan(groups, kv_heads, keys, band).blocks(queries, keys, band)
    return sum((block.i1 - block.i0) * width for block in blocks for _, width in block.tiles)
