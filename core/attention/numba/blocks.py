"""The band of keys of a block of queries, and its rows into lanes and back."""

from __future__ import annotations

from numba import float32

from ...compiled.kernel import inlined
from ...compiled.vectors import LANES, load_float, store_float, transpose
from .arguments import QUERIES
from .job import floats


@inlined
def keys_in_band(task, i0, count):  # type: ignore[no-untyped-def]
    """(first, one past the last) key inside the band of any of the queries i0 … i0 + count − 1; none: first ≥ last."""
    diagonal = i0 + task.shift
    return max(0, diagonal - task.left), min(task.keys, diagonal + count + task.right)


@inlined
def all_in_band(task, i0, count, j0, width):  # type: ignore[no-untyped-def]
    """Whether each of the keys j0 … j0 + width − 1 is inside the band of each of the queries."""
    diagonal = i0 + task.shift
    return j0 >= diagonal + count - 1 - task.left and j0 + width - 1 <= diagonal + task.right


@inlined
def into_lanes(to, address, row, count, d, scale):  # type: ignore[no-untyped-def]
    """X (d, QUERIES), at the address `to`, = (scale · the rows of a tensor)ᵀ, and 0 in the lanes from `count` on."""
    X = floats(to, d * QUERIES)
    if count < QUERIES:
        X[:] = float32(0.0)
    whole_i, whole_c = count // LANES * LANES, d // LANES * LANES
    for i in range(0, whole_i, LANES):
        for c in range(0, whole_c, LANES):
            transpose(to + 4 * (c * QUERIES + i), QUERIES, address + 4 * (i * row + c), row)
    for i in range(count):
        for c in range(whole_c if i < whole_i else 0, d):
            store_float(to, c * QUERIES + i, load_float(address, i * row + c))
    if scale != 1:
        for n in range(d * QUERIES):
            X[n] *= scale


@inlined
def out_of_lanes(address, row, X, count, d):  # type: ignore[no-untyped-def]
    """The rows of a tensor become Xᵀ, X (d, QUERIES) being an address."""
    whole_i, whole_c = count // LANES * LANES, d // LANES * LANES
    for i in range(0, whole_i, LANES):
        for c in range(0, whole_c, LANES):
            transpose(address + 4 * (i * row + c), row, X + 4 * (c * QUERIES + i), QUERIES)
    for i in range(count):
        for c in range(whole_c if i < whole_i else 0, d):
            store_float(address, i * row + c, load_float(X, c * QUERIES + i))


@inlined
def copy_rows(X, address, row, count, d, padded):  # type: ignore[no-untyped-def]
    """X (QUERIES, padded), an address, = the rows of a tensor, with 0 beside and below them."""
    for i in range(QUERIES):
        for c in range(padded):
            here = i < count and c < d
            store_float(X, i * padded + c, load_float(address, i * row + c) if here else float32(0.0))
