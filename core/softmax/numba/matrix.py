"""The matrix that a kernel takes by address, row by row, and the shares that threads take of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import overload

from ...compiled.atomics import load as load_index
from ...compiled.kernel import inlined
from ...compiled.vectors import instruction

ENDLESS = 1 << 40
"""For the size of memory of which only rows are looked at."""


class Matrix(NamedTuple):
    """What every kernel is given.

    Attributes:
        x: address of the numbers that the rows lie among; halves are the integers that they are made of: see `bits`.
        y: address of the result, without gaps.
        starts: address of the places of the rows among the numbers, int64; 0 where one follows the other.
        rows, columns: how many there are.
        shares: into so many the rows are divided, or the columns where `columns` does it.
        like: an array of x's type.
    """

    x: Any
    y: Any
    starts: Any
    rows: Any
    columns: Any
    shares: Any
    like: Any


@instruction
def _pointer(context, address, like):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), generate


def room(like, size):
    """Where a row of exponentials waits for its sum: for halves. Others wait in the result. Its type is computed with."""


@overload(room)
def _room(like, size):
    if isinstance(like.dtype, types.Float):
        return lambda like, size: np.empty(0, like.dtype)
    return lambda like, size: np.empty(size, np.float32)


@inlined
def numbers(matrix):
    """x and y, flat."""
    x = carray(_pointer(matrix.x, matrix.like), ENDLESS)
    y = carray(_pointer(matrix.y, matrix.like), matrix.rows * matrix.columns)
    return x, y


@inlined
def cut(whole, i, shares):
    """Where share i of so many begins, and where the next does."""
    return whole * i // shares, whole * (i + 1) // shares


@inlined
def row(matrix, x, r):
    """Row r of x."""
    start = r * matrix.columns if matrix.starts == 0 else load_index(matrix.starts + 8 * r)
    return x[start : start + matrix.columns]


@inlined
def result(matrix, y, r):
    """Row r of the result."""
    return y[r * matrix.columns : (r + 1) * matrix.columns]
