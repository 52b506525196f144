"""The arguments of compiled code: tensors and the task as tuples of numbers, packed into memory of which it gets the address.

A call with one number is some 20 μs cheaper than one with all of them, and compiled once, whatever their types.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

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
    """A mask broadcast to (batch, heads, queries, keys), its distances in numbers.

    Attributes:
        kind: bytes of a number: 1 for boolean, 4 for added; 0 for none.
    """

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
    scale: float


class Extras(NamedTuple):
    """The further options; an address is 0 where an option is not in use.

    Attributes:
        slopes: of float32 (batch or 1, heads), `slopes_batch` apart.
        sink: of float32 (heads,).
        row_bits, column_bits: of int32 (batch, heads, queries) and (batch, keys), those of `dropout.Choices`.
        threshold: a pair is kept whose bits, as a signed number, reach it.
        kept_times: 1/(1 − p).
        softcap: 0 for none.
    """

    slopes: int
    slopes_batch: int
    sink: int
    row_bits: int
    column_bits: int
    threshold: int
    kept_times: float
    softcap: float


NO_EXTRAS = Extras(0, 0, 0, 0, 0, 0, 1.0, 0.0)


def rows(x: Tensor) -> Rows:
    """Of a tensor that must outlive their use."""
    batch, head, row, number = x.stride()
    assert number == 1 or x.shape[3] <= 1
    return Rows(x.data_ptr(), batch, head, row)


def mask_of(mask: Tensor | None) -> Mask:
    """Of a bool or float32 mask already expanded to four dimensions, which must outlive its use."""
    if mask is None:
        return Mask(0, 0, 0, 0, 0, 0)
    return Mask(mask.element_size(), mask.data_ptr(), *mask.stride())


class Common(NamedTuple):
    """The first arguments of all kernels.

    Attributes:
        lse: address of (batch, heads, queries) float32.
        shared: address of scratch memory, of which `shared_bytes` are for all threads together; then come `scratch_bytes` of
            each.
        counter: 0, the number of the first item of work that no thread has taken.
    """

    q: Rows
    k: Rows
    v: Rows
    o: Rows
    mask: Mask
    task: Task
    extras: Extras
    lse: int
    shared: int
    shared_bytes: int
    scratch_bytes: int
    counter: int = 0


def packed(common: Sequence[Any], *own: int) -> array[int]:
    """All numbers of a `Common` in order, eight bytes each; `own` are those of one kernel alone. `job.read` reads them."""
    q, k, v, o, mask, task, extras, *others = common
    found = array("q", _FORMAT.pack(*q, *k, *v, *o, *mask, *task, *extras, *others))
    found.extend(own)
    return found


_FORMAT = struct.Struct("16q6q10qd6qdd5q")
