"""The arguments of compiled code: tensors and the task as tuples of numbers, which Numba takes by value."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

QUERIES = 64
"""Queries of a block, side by side in the lanes of vectors. Few, because a causal block computes on average half of
QUERIES² scores in vain; many enough for a register block's columns."""
KEYS = 128
"""Keys of a tile forward: its scores, 32 KB, stay in the first or second cache between the products."""
KEYS_BACKWARD = 64
"""Backward, where two tiles of scores and four of keys, values and their gradients are in use."""


class Rows(NamedTuple):
    """A float32 tensor (batch, heads, length, ·) whose rows are without gaps: where it is, how far apart, in numbers."""

    address: int
    batch: int
    head: int
    row: int


class Mask(NamedTuple):
    """A mask broadcast to (batch, heads, queries, keys); kind 0 for none, 1 for boolean, 2 for added."""

    kind: int
    address: int
    batch: int
    head: int
    query: int
    key: int


class Task(NamedTuple):
    """Sizes, and the band: query i attends to the keys i + shift − left … i + shift + right."""

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    d: int
    d_v: int
    left: int
    right: int
    shift: int


class Extras(NamedTuple):
    """The further options; an address is 0 where an option is not in use.

    Attributes:
        softcap: 0 for none.
        slopes: of float32 (batch or 1, heads), `slopes_batch` apart.
        sink: of float32 (heads,).
        row_bits, column_bits: of int32 (batch, heads, queries) and (batch, keys), those of `dropout.Choices`.
        threshold: a pair is kept whose bits, as a signed number, reach it.
        kept_times: 1/(1 − p).
    """

    softcap: float
    slopes: int
    slopes_batch: int
    sink: int
    row_bits: int
    column_bits: int
    threshold: int
    kept_times: float


NO_EXTRAS = Extras(0.0, 0, 0, 0, 0, 0, 0, 1.0)


def rows(x: Tensor) -> Rows:
    """Of a tensor that must outlive their use."""
    assert x.stride(3) == 1 or x.shape[3] <= 1
    return Rows(x.data_ptr(), x.stride(0), x.stride(1), x.stride(2))


def mask_of(mask: Tensor | None) -> Mask:
    """Of a bool or float32 mask already expanded to four dimensions, which must outlive its use."""
    if mask is None:
        return Mask(0, 0, 0, 0, 0, 0)
    return Mask(1 if mask.element_size() == 1 else 2, mask.data_ptr(), *mask.stride())
