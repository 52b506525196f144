"""A mask given as a tensor, tile by tile: brought into the lanes of the scores, and applied to them."""

from __future__ import annotations

from numba import float32, uint8

from ...compiled.kernel import inlined
from ...compiled.vectors import load_byte, load_float, store_float
from .arguments import QUERIES
from .blocks import into_lanes
from .instructions import BYTE_LANES, store_byte, transpose_bytes
from .job import floats, octets
from .softmax import LOG2_E, LOWEST, MASKED

ALL_HIDDEN, SOME_HIDDEN, NOTHING_HIDDEN = 0, 1, 2
ONE = float32(1.0)


@inlined
def read_mask(to, at, mask, width, count):  # type: ignore[no-untyped-def]
    """Write a tile of the mask, (width, QUERIES), to an address, and return how much it hides.

    A tile that hides all need not be computed. For an added mask it is always `SOME_HIDDEN`.

    Args:
        at: address of the mask of the tile's first query and key.
        count: of queries; lanes beyond them see nothing.
    """
    if mask.kind == 1:
        M = octets(to, width * QUERIES)
        if mask.query == 0:
            for j in range(width):
                shown = load_byte(at, j * mask.key)
                for i in range(QUERIES):
                    M[j * QUERIES + i] = shown
        else:
            if count < QUERIES:
                for n in range(width * QUERIES):
                    M[n] = 0
            whole_i = whole_j = 0
            if mask.key == 1:
                whole_i, whole_j = count // BYTE_LANES * BYTE_LANES, width // BYTE_LANES * BYTE_LANES
            for i in range(0, whole_i, BYTE_LANES):
                for j in range(0, whole_j, BYTE_LANES):
                    transpose_bytes(to + j * QUERIES + i, QUERIES, at + i * mask.query + j, mask.query)
            for i in range(count):
                for j in range(whole_j if i < whole_i else 0, width):
                    store_byte(to, j * QUERIES + i, load_byte(at, i * mask.query + j * mask.key))
        some, all = uint8(0), uint8(255)
        for n in range(width * QUERIES):
            some, all = uint8(some | M[n]), uint8(all & M[n])
        return ALL_HIDDEN if some == 0 else NOTHING_HIDDEN if all != 0 else SOME_HIDDEN
    if mask.key == 1 and mask.query != 0:
        into_lanes(to, at, mask.query, count, width, ONE)
    else:
        for j in range(width):
            for i in range(QUERIES):
                store_float(
                    to, j * QUERIES + i, load_float(at, min(i, count - 1) * mask.query + j * mask.key)
                )
    return SOME_HIDDEN


@inlined
def apply_mask(S, at, kind, width):  # type: ignore[no-untyped-def]
    """Apply what `read_mask` wrote to an address."""
    if kind == 1:
        M = octets(at, width * QUERIES)
        for n in range(width * QUERIES):
            S[n] = MASKED if M[n] == 0 else S[n]
    else:
        A = floats(at, width * QUERIES)
        for n in range(width * QUERIES):
            # −∞ is written and not added, because NaN − ∞ would be NaN. The least number is no −∞ yet.
            S[n] = MASKED if A[n] == MASKED else S[n] + max(LOG2_E * A[n], LOWEST)
