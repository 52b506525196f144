"""Safe and online softmax over rows: each kernel takes the rows `first` to `last` of a matrix.

    x        the numbers that the matrix lies in, flat; row r is x[starts[r] : starts[r] + V]
    y        the result, flat and without gaps
    e        room for one row of exponentials; used for halves alone, elsewhere they wait in y. Its type is the one
             that is computed with

Loops over V are vectorised: the maximum as one of integers, the sum with leave to be reordered. A row of nothing but
−∞ is 0/0, one with +∞ or NaN has a sum of NaN, so both come out as NaN everywhere without a test for either.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from ...compiled.kernel import kernel
from .bits import bits_of, float_of, load, lowest, store, to
from .exponential import SUMS, exp_below

BLOCK = 512
"""Elements per block of the online forms. The memory is read ahead while a block is computed, so that short ones wait
less. Measured in float32 on one thread, rows of 128,000: blocks of 1,024 took 1.1 times as long and 2,048 1.26 times;
with rows of 4,000, which are in a cache, 0.97 times."""


def waiting(y, e):
    """Where exponentials wait for their sum: y itself, if it holds what is computed with."""


@overload(waiting)
def _waiting(y, e):
    return (lambda y, e: y) if isinstance(y.dtype, types.Float) else (lambda y, e: e)


@njit
def largest(x):
    """max x_j; the result is arbitrary where x has a NaN, which the sum then shows.

    Compilers may not reorder a maximum of floats, because of NaN, and do not vectorise its loop, but do so for integers.
    The largest bits, as integers, are those of the largest float, unless all floats are negative; then of the smallest.
    """
    top = bits_of(load(x, 0))
    for j in range(x.size):
        top = max(top, bits_of(load(x, j)))
    if top < 0:
        for j in range(x.size):
            top = min(top, bits_of(load(x, j)))
    return float_of(top)


@njit(fastmath=SUMS)
def exponentials(x, e, m):
    """e_j = e^(x_j − m), and their sum."""
    d = to(0.0, m)
    for j in range(x.size):
        e_j = exp_below(load(x, j) - m)
        e[j] = e_j
        d += e_j
    return d


@njit(fastmath=SUMS)
def normalizer(x, m):
    """Σ e^(x_j − m)."""
    d = to(0.0, m)
    for j in range(x.size):
        d += exp_below(load(x, j) - m)
    return d


def scaled(e, y, c):
    """y_j = c·e_j."""


@overload(scaled)
def _scaled(e, y, c):
    if isinstance(y.dtype, types.Float):

        def in_place(
            e, y, c
        ):  # of one array: for two the compiler would ask whether they overlap, and these do
            for j in range(y.size):
                y[j] *= c

        return in_place

    def narrowed(e, y, c):
        for j in range(y.size):
            store(y, j, e[j] * c)

    return narrowed


@kernel
def safe(x, starts, y, V, first, last, e):
    """Algorithm 2 of Milakov & Gimelshein, its second loop keeping the exponentials for the third."""
    for r in range(first, last):
        x_r, y_r = x[starts[r] : starts[r] + V], y[r * V : (r + 1) * V]
        e_r = waiting(y_r, e)
        m = largest(x_r)
        d = exponentials(x_r, e_r, m)
        scaled(e_r, y_r, to(1.0, d) / d)


@njit
def pair(x, e):
    """(m, d) of a row in one pass: lines 1–6 of Algorithm 3, with blocks for elements.

    d is added up in float64: a long row has thousands of blocks. Where nothing but −∞ was seen, m is the lowest number
    and d is 0.
    """
    m, d = lowest(e), 0.0
    for b in range(0, x.size, BLOCK):
        x_b = x[b : b + BLOCK]
        m_new = max(m, largest(x_b))
        d = d * exp_below(m - m_new) + normalizer(x_b, m_new)
        m = m_new
    return m, d


@kernel
def online(x, starts, y, V, first, last, e):
    """Algorithm 3: m and d in one pass, and every exponential again in the second."""
    for r in range(first, last):
        x_r, y_r = x[starts[r] : starts[r] + V], y[r * V : (r + 1) * V]
        m, d = pair(x_r, e)
        c = to(1 / d, m)
        for j in range(V):
            store(y_r, j, exp_below(load(x_r, j) - m) * c)


@njit
def kept(x, e, before):
    """The same, but it leaves e^(x − m so far) in e, and the m so far of each block in `before`."""
    m, d = lowest(before), 0.0
    for b in range(0, x.size, BLOCK):
        x_b = x[b : b + BLOCK]
        m_new = max(m, largest(x_b))
        d = d * exp_below(m - m_new) + exponentials(x_b, e[b : b + BLOCK], m_new)
        m = m_new
        before[b // BLOCK] = m
    return m, d


@njit
def rescale(e, y, before, m, c):
    """What `kept` has left, multiplied by e^(m then − m)·c."""
    for b in range(0, y.size, BLOCK):
        scaled(e[b : b + BLOCK], y[b : b + BLOCK], exp_below(before[b // BLOCK] - m) * c)


@kernel
def rescaled(x, starts, y, V, first, last, e):
    """Algorithm 3 with each exponential once: kept by the first pass, and rescaled by the second.

    For one more load than Algorithm 3 has.
    """
    before = np.empty((V + BLOCK - 1) // BLOCK, e.dtype)
    for r in range(first, last):
        x_r, y_r = x[starts[r] : starts[r] + V], y[r * V : (r + 1) * V]
        e_r = waiting(y_r, e)
        m, d = kept(x_r, e_r, before)
        rescale(e_r, y_r, before, m, to(1 / d, m))
