"""log-softmax and logsumexp over rows; arguments as in `rows`.

Both are made of m and d alone: logsumexp = m + log d, log-softmax = (x − m) − log d. No exponential is kept, and so the
online form takes each once and loads a row once less than the safe form, with nothing to pay for it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...compiled.kernel import inlined, kernel
from ...compiled.shares import in_shares
from .bits import load, lowest, store, to
from .exponential import FUSED
from .matrix import Matrix, cut, numbers, result, room, row
from .rows import largest, normalizer, pair


@inlined
def safe_pair(x, e):
    """(m, d) in two passes over a row. m is kept finite, so that a row of nothing but −∞ sums to 0 and not to NaN."""
    m = lowest(e)
    if x.size:
        m = max(m, largest(x))
    return m, np.float64(normalizer(x, m))


@inlined
def log_of_sum(x, m, d):
    """m + log d; where m is +∞, d with its ∞ − ∞ says nothing, and only a NaN in the row matters."""
    if m == np.inf:
        for j in range(x.size):
            if np.isnan(load(x, j)):
                return np.nan
        return np.inf
    return m + np.log(d)


@njit(fastmath=FUSED)
def subtracted(x, y, m, log_d):
    """y_j = (x_j − m) − log d, with its brackets: with a large m a sum m + log d would lose the digits of log d."""
    for j in range(x.size):
        store(y, j, (load(x, j) - m) - log_d)


@inlined
def _safe_logsumexp(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, 0)
    first, last = cut(matrix.rows, i, matrix.shares)
    for r in range(first, last):
        x_r = row(matrix, x, r)
        m, d = safe_pair(x_r, e)
        store(y, r, to(log_of_sum(x_r, m, d), m))


@kernel
def safe_logsumexp(team, x, y, starts, rows, columns, shares, like):
    """Two loads for each element; y has one number for each row."""
    in_shares(_safe_logsumexp, team, shares, Matrix(x, y, starts, rows, columns, shares, like))


@inlined
def _online_logsumexp(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, 0)
    first, last = cut(matrix.rows, i, matrix.shares)
    for r in range(first, last):
        x_r = row(matrix, x, r)
        m, d = pair(x_r, e)
        store(y, r, to(log_of_sum(x_r, m, d), m))


@kernel
def online_logsumexp(team, x, y, starts, rows, columns, shares, like):
    """Lines 1–6 of Algorithm 3, with blocks for elements: one load for each element."""
    in_shares(_online_logsumexp, team, shares, Matrix(x, y, starts, rows, columns, shares, like))


@inlined
def _safe_log_softmax(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, 0)
    first, last = cut(matrix.rows, i, matrix.shares)
    for r in range(first, last):
        x_r = row(matrix, x, r)
        m, d = safe_pair(x_r, e)
        subtracted(x_r, result(matrix, y, r), m, to(np.log(d), m))


@kernel
def safe_log_softmax(team, x, y, starts, rows, columns, shares, like):
    """Three loads and one store for each element."""
    in_shares(_safe_log_softmax, team, shares, Matrix(x, y, starts, rows, columns, shares, like))


@inlined
def _online_log_softmax(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, 0)
    first, last = cut(matrix.rows, i, matrix.shares)
    for r in range(first, last):
        x_r = row(matrix, x, r)
        m, d = pair(x_r, e)
        subtracted(x_r, result(matrix, y, r), m, to(np.log(d), m))


@kernel
def online_log_softmax(team, x, y, starts, rows, columns, shares, like):
    """Two loads and one store for each element."""
    in_shares(_online_log_softmax, team, shares, Matrix(x, y, starts, rows, columns, shares, like))
