"""Safe and online softmax over rows.

A kernel is called with a team (see compiled/team.py) and the fields of a `Matrix`; its shares are rows. e is room for one row
of exponentials, used for halves alone, elsewhere they wait in y; its type is the one that is computed with.

Loops over columns are vectorised: the maximum as one of integers, the sum with leave to be reordered. A row of nothing but
−∞ is 0/0, one with +∞ or NaN has a sum of NaN, so both come out as NaN everywhere without a test for either.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from ...compiled.kernel import inlined, kernel
from ...compiled.shares import in_shares
from .bits import bits_of, float_of, load, lowest, store, to
from .exponential import SUMS, exp_below
from .matrix import Matrix, cut, numbers, result, room, row

BLOCK = 512
"""Elements per block of the online forms. The memory is read ahead while a block is computed, so that short ones wait
less. Measured in float32 on one thread, rows of 128,000: blocks of 1,024 took 1.1 times as long and 2,048 1.26 times;
with rows of 4,000, which are in a cache, 0.97 times. The largest of a block is looked for before the exponentials of the
one before are taken, which do not need it: so the processor does both at once."""

SHORT = 4096
"""A row of at most so many is one block where its exponentials are kept: it stays in the first cache anyway. On a Zen 3, 64 rows
of 4,000 took 156 µs as one block and 192 in blocks."""


def waiting(y, e):
    """Where exponentials wait for their sum: y itself, if it holds what is computed with."""


@overload(waiting)
def _waiting(y, e):
    return (lambda y, e: y) if isinstance(y.dtype, types.Float) else (lambda y, e: e)


@inlined
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


@inlined
def safe_row(x, y, e):
    """Algorithm 2 of Milakov & Gimelshein, its second loop keeping the exponentials for the third."""
    waits = waiting(y, e)
    d = exponentials(x, waits, largest(x))
    scaled(waits, y, to(1.0, d) / d)


@inlined
def _safe(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, matrix.columns)
    first, last = cut(matrix.rows, i, matrix.shares)
    for r in range(first, last):
        safe_row(row(matrix, x, r), result(matrix, y, r), e)


@kernel
def safe(team, x, y, starts, rows, columns, shares, like):
    """Algorithm 2."""
    in_shares(_safe, team, shares, Matrix(x, y, starts, rows, columns, shares, like))


@inlined
def blocks(columns):
    """How many a row has at most."""
    return (columns + BLOCK - 1) // BLOCK


@inlined
def pair(x, e):
    """(m, d) of a row in one pass: lines 1–6 of Algorithm 3, with blocks for elements.

    d is added up in float64: a long row has thousands of blocks. Where nothing but −∞ was seen, m is the lowest number
    and d is 0.
    """
    m, d = lowest(e), 0.0
    if x.size == 0:
        return m, d
    top = largest(x[:BLOCK])
    for b in range(0, x.size, BLOCK):
        m_new = max(m, top)
        if b + BLOCK < x.size:
            top = largest(x[b + BLOCK : b + 2 * BLOCK])
        d = d * exp_below(m - m_new) + normalizer(x[b : b + BLOCK], m_new)
        m = m_new
    return m, d


@inlined
def _online(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, matrix.columns)
    first, last = cut(matrix.rows, i, matrix.shares)
    for r in range(first, last):
        x_r, y_r = row(matrix, x, r), result(matrix, y, r)
        m, d = pair(x_r, e)
        c = to(1 / d, m)
        for j in range(matrix.columns):
            store(y_r, j, exp_below(load(x_r, j) - m) * c)


@kernel
def online(team, x, y, starts, rows, columns, shares, like):
    """Algorithm 3: m and d in one pass, and every exponential again in the second."""
    in_shares(_online, team, shares, Matrix(x, y, starts, rows, columns, shares, like))


@inlined
def _block(size):
    return max(size, 1) if size <= SHORT else BLOCK


@inlined
def kept(x, e, before):
    """The same, but it leaves e^(x − m so far) in e, and the m so far of each block in `before`."""
    m, d, block = lowest(before), 0.0, _block(x.size)
    if x.size == 0:
        return m, d
    top = largest(x[:block])
    for b in range(0, x.size, block):
        m_new = max(m, top)
        if b + block < x.size:
            top = largest(x[b + block : b + 2 * block])
        d = d * exp_below(m - m_new) + exponentials(x[b : b + block], e[b : b + block], m_new)
        m = m_new
        before[b // block] = m
    return m, d


@inlined
def rescale(e, y, before, m, c):
    """What `kept` has left, multiplied by e^(m then − m)·c."""
    block = _block(y.size)
    for b in range(0, y.size, block):
        scaled(e[b : b + block], y[b : b + block], exp_below(before[b // block] - m) * c)


@inlined
def _rescaled(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, matrix.columns)
    first, last = cut(matrix.rows, i, matrix.shares)
    before = np.empty(blocks(matrix.columns), e.dtype)
    for r in range(first, last):
        x_r, y_r = row(matrix, x, r), result(matrix, y, r)
        e_r = waiting(y_r, e)
        m, d = kept(x_r, e_r, before)
        rescale(e_r, y_r, before, m, to(1 / d, m))


@kernel
def rescaled(team, x, y, starts, rows, columns, shares, like):
    """Algorithm 3 with each exponential once: kept by the first pass, and rescaled by the second.

    For one more load than Algorithm 3 has.
    """
    in_shares(_rescaled, team, shares, Matrix(x, y, starts, rows, columns, shares, like))
