"""What a transformer does to rows between its products, without gradients.

Rows are named by number, since a view of each would count references. Loops over numbers beside each other start from 0: of any
other index Numba asks whether it is negative, number by number, and the loop is no vector's any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba import float32, njit

from ...compiled.exponential import exp2
from ...compiled.kernel import inlined
from ...compiled.vectors import load_float, store_float

LOG2_E = float32(1.4426950408889634)
ZERO, ONE = float32(0.0), float32(1.0)
STEEP = float32(126.0)
"""2^126 is finite, and a gate divided by it is 0 next to anything."""
EPSILON = float32(2.0**-23)

summed: Callable[..., Any] = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
"""Compiles sums that may be taken in any order, as lanes take them."""


@summed
def _sum_of_squares(x, r, width):  # type: ignore[no-untyped-def]
    total = ZERO
    for i in range(width):
        total += x[r, i] * x[r, i]
    return total


@inlined
def normed(to, x, gain, layer, rows, width):  # type: ignore[no-untyped-def]
    """to = x / √(mean(x²) + ε) · gain[layer], over `width`; see `operations.RMSNorm`."""
    for r in range(rows):
        scale = float32(ONE / math.sqrt(_sum_of_squares(x, r, width) / float32(width) + EPSILON))
        for i in range(width):
            to[r, i] = x[r, i] * scale * gain[layer, i]


@inlined
def swiglu(to, x, rows, width):  # type: ignore[no-untyped-def]
    """to (…, width) = silu(gate) · up of rows that begin with gate and up; see `operations.swiglu`."""
    for r in range(rows):
        ups = x[r, width:]
        for i in range(width):
            gate = x[r, i]
            steep = -gate * LOG2_E
            steep = STEEP if steep > STEEP else steep  # not the other way round, which would lose NaN
            to[r, i] = ups[i] * gate / (ONE + exp2(steep))


@inlined
def rotate(x, heads, width, rotation, times):  # type: ignore[no-untyped-def]
    """Turn each pair of some heads of a row by its angle, times a number.

    Args:
        x: address of (heads, width). rotation: address of (width/2, 2), cos and sin.
    """
    for h in range(heads):
        head = x + 4 * h * width
        for j in range(0, width, 2):
            cos, sin = load_float(rotation, j) * times, load_float(rotation, j + 1) * times
            real, imaginary = load_float(head, j), load_float(head, j + 1)
            store_float(head, j, real * cos - imaginary * sin)
            store_float(head, j + 1, real * sin + imaginary * cos)
