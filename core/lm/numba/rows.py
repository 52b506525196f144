"""The passes over rows between a transformer's matrix products, and their gradients.

A row is a token's. Arrays are float32, contiguous, and overlap only where one is changed in place: loops become vectors on
that condition, and if their index begins at 0: of another Numba asks each time whether it is negative. NaN and ∞ stay.
"""

from __future__ import annotations

import numpy as np
from numba import float32, njit

from ...compiled.exponential import exp
from ...compiled.kernel import kernel

ZERO, ONE = float32(0.0), float32(1.0)
LARGE = float32(87.0)
"""e^87 is still finite in float32, and 1 + e^87 is e^87."""
BLOCK = 64
"""Rows whose contributions to a gain's gradient are added up before they are added to those of others."""

reordered = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
"""Compiles what may add in another order, as vectors do; NaN and ∞ stay."""


@reordered
def _squares(x, i):  # type: ignore[no-untyped-def]
    total = ZERO
    for j in range(x.shape[1]):
        total += x[i, j] * x[i, j]
    return total


@reordered
def _product_of_three(x, y, z, i):  # type: ignore[no-untyped-def]
    total = ZERO
    for j in range(x.shape[1]):
        total += x[i, j] * y[j] * z[i, j]
    return total


@kernel
def norm(x, gain, epsilon, y, scale):  # type: ignore[no-untyped-def]
    """RMSNorm: scale = 1 / √(mean(x²) + ε) of each row, y = x · scale · gain.

    Args:
        x, y: (rows, width). gain: (width,). scale: (rows,).
    """
    rows, width = x.shape
    for i in range(rows):
        of_row = float32(1 / np.sqrt(_squares(x, i) / width + epsilon))
        scale[i] = of_row
        for j in range(width):
            y[i, j] = x[i, j] * of_row * gain[j]


@kernel
def add_and_norm(x, more, gain, epsilon, y, scale):  # type: ignore[no-untyped-def]
    """`more` becomes x + more, in place; then `norm` of it."""
    rows, width = x.shape
    for i in range(rows):
        for j in range(width):
            more[i, j] += x[i, j]
        of_row = float32(1 / np.sqrt(_squares(more, i) / width + epsilon))
        scale[i] = of_row
        for j in range(width):
            y[i, j] = more[i, j] * of_row * gain[j]


@kernel
def norm_backward(dy, x, scale, gain, dx, d_gain, y):  # type: ignore[no-untyped-def]
    """dx += (g − x̂ · mean(g · x̂)) · scale with g = dy · gain and x̂ = x · scale; d_gain += Σ dy · x̂ over rows.

    y becomes x̂ · gain once more, for the gradient of the product that follows the norm.
    """
    rows, width = x.shape
    of_block = np.empty(width, np.float32)
    for first in range(0, rows, BLOCK):
        of_block[:] = ZERO
        for i in range(first, min(rows, first + BLOCK)):
            s = scale[i]
            along = _product_of_three(dy, gain, x, i) * s * s / float32(width)
            for j in range(width):
                of_block[j] += dy[i, j] * (x[i, j] * s)
            for j in range(width):
                y[i, j] = x[i, j] * s * gain[j]
            for j in range(width):
                dx[i, j] += (dy[i, j] * gain[j] - x[i, j] * along) * s
        for j in range(width):
            d_gain[j] += of_block[j]


@kernel
def swiglu(x, y):  # type: ignore[no-untyped-def]
    """y (rows, width) = silu(gate) · up, where x (rows, 2·width) holds gate and up."""
    rows, width = y.shape
    x = x.reshape(rows, 2, width)
    for i in range(rows):
        for j in range(width):
            gate = x[i, 0, j]
            y[i, j] = gate / (ONE + exp(LARGE if -gate > LARGE else -gate)) * x[i, 1, j]


@kernel
def swiglu_backward(dy, x, dx, y):  # type: ignore[no-untyped-def]
    """dx (rows, 2·width), and y once more, for the gradient of the product that follows."""
    rows, width = y.shape
    x, dx = x.reshape(rows, 2, width), dx.reshape(rows, 2, width)
    for i in range(rows):
        for j in range(width):
            gate, up, d = x[i, 0, j], x[i, 1, j], dy[i, j]
            e = exp(LARGE if -gate > LARGE else -gate)
            sigmoid = ONE / (ONE + e)
            silu = gate * sigmoid
            y[i, j] = silu * up
            dx[i, 1, j] = d * silu
            # d silu / d gate = σ · (1 + gate · (1 − σ)), and 1 − σ = e · σ.
            dx[i, 0, j] = d * up * sigmoid * (ONE + gate * (e * sigmoid))


@kernel
def rotate(x, positions, turns, heads, forwards):  # type: ignore[no-untyped-def]
    """Rotary positions, in place: of the first heads of each row, pair (2j, 2j + 1) by an angle.

    Args:
        x: (rows, head_dim times `heads` or more). positions: (rows,) int32.
        turns: (context, head_dim / 2, 2), cosine and sine of each position's angles.
        forwards: False turns back, which is the gradient.
    """
    rows, pairs = x.shape[0], turns.shape[1]
    sign = ONE if forwards else -ONE
    x = x.reshape(rows, -1, pairs, 2)
    for i in range(rows):
        at = positions[i]
        for h in range(heads):
            for j in range(pairs):
                cosine, sine = turns[at, j, 0], sign * turns[at, j, 1]
                a, b = x[i, h, j, 0], x[i, h, j, 1]
                x[i, h, j, 0] = a * cosine - b * sine
                x[i, h, j, 1] = a * sine + b * cosine
