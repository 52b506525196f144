"""One row shared out by columns, where there are fewer rows than threads: each share its (m, d), merged by ⊕ (§3.1).

Every share looks at its columns and leaves their pair in m[i] and d[i]; once all have, each merges the pairs and writes its
columns of the result. Shares begin with a block. Arguments as in `rows`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...compiled.kernel import inlined, kernel
from ...compiled.shares import in_shares
from .bits import store, to
from .exponential import exp_below
from .logarithms import log_of_sum, online_log_softmax, online_logsumexp, subtracted
from .matrix import Matrix, cut, numbers, result, room, row
from .rows import BLOCK, blocks, kept, pair, rescale, rescaled, waiting


class Shared(NamedTuple):
    """Row r of a matrix.

    Attributes:
        e: room for the row's exponentials; used for halves alone.
        before: room for a number of each block.
        m, d: for the pairs of the shares.
    """

    matrix: Any
    r: Any
    e: Any
    before: Any
    m: Any
    d: Any


@inlined
def merged(m, d):
    """(m_0, d_0) ⊕ (m_1, d_1) ⊕ …"""
    m_all, d_all = m[0], d[0]
    for i in range(1, m.size):
        m_new = max(m_all, m[i])
        d_all = d_all * exp_below(m_all - m_new) + d[i] * exp_below(m[i] - m_new)
        m_all = m_new
    return m_all, d_all


@inlined
def _place(i, shared):
    """(x, y, first, last): the row of both, and the columns of share i."""
    matrix = shared.matrix
    x, y = numbers(matrix)
    first, last = cut(blocks(matrix.columns), i, matrix.shares)
    return row(matrix, x, shared.r), y, first * BLOCK, min(last * BLOCK, matrix.columns)


@inlined
def _begin_softmax(i, shared):
    """Leaves exponentials, as `rows.kept` does."""
    x, y, first, last = _place(i, shared)
    e = waiting(result(shared.matrix, y, shared.r)[first:last], shared.e[first:last])
    shared.m[i], shared.d[i] = kept(x[first:last], e, shared.before[first // BLOCK :])


@inlined
def _end_softmax(i, shared):
    """Rescales them by the m and the d of the whole row."""
    _, y, first, last = _place(i, shared)
    m, d = merged(shared.m, shared.d)
    y = result(shared.matrix, y, shared.r)[first:last]
    rescale(waiting(y, shared.e[first:last]), y, shared.before[first // BLOCK :], m, to(1 / d, m))


@inlined
def _begin_logarithm(i, shared):
    """Leaves nothing but the pair."""
    x, _, first, last = _place(i, shared)
    shared.m[i], shared.d[i] = pair(x[first:last], shared.before)


@inlined
def _end_log_softmax(i, shared):
    """Subtracts m and log d of the whole row."""
    x, y, first, last = _place(i, shared)
    m, d = merged(shared.m, shared.d)
    subtracted(x[first:last], result(shared.matrix, y, shared.r)[first:last], m, to(np.log(d), m))


@inlined
def _shared(matrix, r):
    e = room(matrix.like, matrix.columns)
    before, m = np.empty(blocks(matrix.columns), e.dtype), np.empty(matrix.shares, e.dtype)
    return Shared(matrix, r, e, before, m, np.empty(matrix.shares))


@kernel
def rescaled_by_columns(team, x, y, starts, rows, columns, shares, like):
    """`rows.rescaled`."""
    for r in range(rows):
        shared = _shared(Matrix(x, y, starts, rows, columns, shares, like), r)
        in_shares(_begin_softmax, team, shares, shared)
        in_shares(_end_softmax, team, shares, shared)


@kernel
def log_softmax_by_columns(team, x, y, starts, rows, columns, shares, like):
    """`logarithms.online_log_softmax`."""
    for r in range(rows):
        shared = _shared(Matrix(x, y, starts, rows, columns, shares, like), r)
        in_shares(_begin_logarithm, team, shares, shared)
        in_shares(_end_log_softmax, team, shares, shared)


@kernel
def logsumexp_by_columns(team, x, y, starts, rows, columns, shares, like):
    """`logarithms.online_logsumexp`."""
    for r in range(rows):
        shared = _shared(Matrix(x, y, starts, rows, columns, shares, like), r)
        in_shares(_begin_logarithm, team, shares, shared)
        m, d = merged(shared.m, shared.d)
        numbers_x, numbers_y = numbers(shared.matrix)
        store(numbers_y, r, to(log_of_sum(row(shared.matrix, numbers_x, r), m, d), m))


SHARED: dict[Any, Any] = {
    rescaled: rescaled_by_columns,
    online_log_softmax: log_softmax_by_columns,
    online_logsumexp: logsumexp_by_columns,
}
"""Of a kernel over rows, the one that shares columns."""
