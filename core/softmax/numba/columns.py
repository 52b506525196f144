"""One row shared out by columns, where there are fewer rows than threads: each share its (m, d), merged by ⊕ (§3.1).

A kernel `begin` looks at the columns `first` to `last` of row r and leaves their pair in m[i] and d[i]. Once all have,
a kernel `end` merges the pairs and writes its columns of the result. Shares begin with a block.

    e        room for the row's exponentials; used for halves alone
    before   room for a number of each block
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...compiled.kernel import kernel
from .bits import store, to
from .exponential import exp_below
from .logarithms import log_of_sum, online_log_softmax, online_logsumexp, subtracted
from .rows import BLOCK, kept, pair, rescale, rescaled, waiting


@njit
def merged(m, d):
    """(m_0, d_0) ⊕ (m_1, d_1) ⊕ …"""
    m_all, d_all = m[0], d[0]
    for i in range(1, m.size):
        m_new = max(m_all, m[i])
        d_all = d_all * exp_below(m_all - m_new) + d[i] * exp_below(m[i] - m_new)
        m_all = m_new
    return m_all, d_all


@kernel
def begin_softmax(x, start, y, r, V, first, last, e, before, m, d, i):
    """Leaves exponentials, as `rows.kept` does."""
    e_s = waiting(y[r * V + first : r * V + last], e[first:last])
    m[i], d[i] = kept(x[start + first : start + last], e_s, before[first // BLOCK :])


@kernel
def end_softmax(x, start, y, r, V, first, last, e, before, m, d):
    """Rescales them by the m and the d of the whole row."""
    m_all, d_all = merged(m, d)
    y_s = y[r * V + first : r * V + last]
    rescale(waiting(y_s, e[first:last]), y_s, before[first // BLOCK :], m_all, to(1 / d_all, m_all))


@kernel
def begin_logarithm(x, start, y, r, V, first, last, e, before, m, d, i):
    """Leaves nothing but the pair."""
    m[i], d[i] = pair(x[start + first : start + last], before)


@kernel
def end_log_softmax(x, start, y, r, V, first, last, e, before, m, d):
    """Subtracts m and log d of the whole row."""
    m_all, d_all = merged(m, d)
    subtracted(
        x[start + first : start + last], y[r * V + first : r * V + last], m_all, to(np.log(d_all), m_all)
    )


@kernel
def end_logsumexp(x, start, y, r, V, first, last, e, before, m, d):
    """One number, written by the first share."""
    if first == 0:
        m_all, d_all = merged(m, d)
        store(y, r, to(log_of_sum(x[start : start + V], m_all, d_all), m_all))


SHARED: dict[Any, tuple[Any, Any]] = {
    rescaled: (begin_softmax, end_softmax),
    online_log_softmax: (begin_logarithm, end_log_softmax),
    online_logsumexp: (begin_logarithm, end_logsumexp),
}
"""Of a kernel over rows, what begins and ends one row of it in shares."""
