"""The algorithms of Milakov & Gimelshein, "Online normalizer calculation for softmax" (arXiv:1805.02867), line by line;
and one of Dukhan & Ablavatski.

    x   the row of logits, V of them        y   the row of probabilities
    m   the maximum seen so far             d   the normalizer: the sum of e^(x_j − m) seen so far
    K   how many of the largest are kept    v   their probabilities            z   their columns

Rows are anything that can be indexed: a list, a row that counts its accesses (counting.py), or a tensor whose first
dimension is the column, and then every line works on a vector of rows. Each `x[j]` is one load and each `y[i] = …` one
store; m, d, u and p live in registers. Nothing here is fast.

An entry of −∞ is a masked element: it gets probability 0 and changes nothing. A row of nothing but −∞ has no
distribution (0 / 0), and gets NaN everywhere, as `torch.softmax` gives.
"""

from __future__ import annotations

import math
from typing import Protocol

from .arithmetic import (
    NO_EXPONENT,
    Number,
    divide,
    exp,
    exp_below,
    maximum,
    one_unless_empty,
    power_of_two,
    split,
)

Pair = tuple[Number, Number]
"""(m, d): all that softmax has to know of a part of a row."""

IDENTITY: Pair = (-math.inf, 0.0)
"""The pair of a part with no elements; a ⊕ IDENTITY = a."""


class Row(Protocol):
    """What the algorithms ask of a row of numbers."""

    def __len__(self) -> int: ...
    def __getitem__(self, j: int, /) -> Number: ...
    def __setitem__(self, j: int, value: Number, /) -> None: ...


def naive(x: Row, y: Row) -> None:
    """Algorithm 1: y_i = e^(x_i) / Σ e^(x_j). Overflows as soon as one e^(x_j) does."""
    V = len(x)
    d: Number = 0.0
    for j in range(V):
        d = d + exp(x[j])
    for i in range(V):
        y[i] = divide(exp(x[i]), d)


def safe(x: Row, y: Row) -> None:
    """Algorithm 2: the maximum first, then the normalizer, then the result. Three passes over x."""
    V = len(x)
    m: Number = -math.inf
    for k in range(V):
        m = maximum(m, x[k])
    d: Number = 0.0
    for j in range(V):
        d = d + exp_below(x[j], m)
    for i in range(V):
        y[i] = divide(exp_below(x[i], m), d)


def online(x: Row, y: Row) -> None:
    """Algorithm 3: maximum and normalizer in one pass. When the maximum grows, the sum so far shrinks to match it."""
    m, d = _normalizer(x)
    for i in range(len(x)):
        y[i] = divide(exp_below(x[i], m), d)


def _normalizer(x: Row) -> Pair:
    """Lines 1–6 of Algorithm 3."""
    m, d = IDENTITY
    for j in range(len(x)):
        x_j = x[j]
        m_new = maximum(m, x_j)
        d = d * exp_below(m, m_new) + exp_below(x_j, m_new)
        m = m_new
    return m, d


def merge(a: Pair, b: Pair) -> Pair:
    """a ⊕ b (§3.1, equation 4): the pair of two parts of a row, from the pairs of the parts.

    Associative and commutative with `IDENTITY`, so a row may be cut anywhere and merged in any order.
    """
    (m_a, d_a), (m_b, d_b) = a, b
    m = maximum(m_a, m_b)
    return m, d_a * exp_below(m_a, m) + d_b * exp_below(m_b, m)


def merged(x: Row, y: Row) -> None:
    """Softmax by a tree of ⊕ (§3.1), the way threads that each hold a part of a row would share it."""
    m, d = _tree(x, 0, len(x))
    for i in range(len(x)):
        y[i] = divide(exp_below(x[i], m), d)


def _tree(x: Row, start: int, stop: int) -> Pair:
    """The pair of x[start:stop]: both halves, merged."""
    if start == stop:
        return IDENTITY
    if stop - start == 1:
        x_j = x[start]
        return x_j, one_unless_empty(x_j)
    middle = (start + stop) // 2
    return merge(_tree(x, start, middle), _tree(x, middle, stop))


def two_pass(x: Row, y: Row) -> None:
    """Dukhan & Ablavatski, "The two-pass softmax algorithm" (arXiv:2001.04438): no maximum is looked for.

    e^x overflows, but not as a mantissa p and an exponent n, e^x = p·2^n. Such pairs are added at the larger exponent.
    Right for logits up to some 10^6; beyond, a float no longer holds the fraction that p is made of.
    """
    k, s = NO_EXPONENT, 0.0
    for j in range(len(x)):
        p, n = split(x[j])
        k_new = maximum(k, n)
        s = s * power_of_two(k - k_new) + p * power_of_two(n - k_new)
        k = k_new
    for i in range(len(x)):
        p, n = split(x[i])
        y[i] = divide(p * power_of_two(n - k), s)


def safe_topk(x: Row, y: Row, v: Row, z: Row) -> None:
    """Algorithm 2, then a search for the K largest in its result: what Algorithm 4 is compared with (§4).

    x holds floats here; v and z are filled from the largest downwards, K = len(v).
    """
    safe(x, y)
    u, p = _empty_topk(len(v))
    for j in range(len(x)):
        _insert(u, p, y[j], j)
    for i in range(len(v)):
        v[i], z[i] = u[i], p[i]


def online_topk(x: Row, v: Row, z: Row) -> None:
    """Algorithm 4: maximum, normalizer and the K largest logits in one pass; the softmax itself is never written.

    x holds floats here; v and z are filled from the largest downwards, K = len(v).
    """
    m, d = IDENTITY
    u, p = _empty_topk(len(v))
    for j in range(len(x)):
        x_j = x[j]
        m_new = maximum(m, x_j)
        d = d * exp_below(m, m_new) + exp_below(x_j, m_new)
        m = m_new
        _insert(u, p, x_j, j)
    for i in range(len(v)):
        v[i], z[i] = divide(exp_below(u[i], m), d), p[i]


def _empty_topk(K: int) -> tuple[list[Number], list[int]]:
    """K places and one more, u_(K+1), into which each candidate is written first."""
    return [-math.inf] * (K + 1), [-1] * (K + 1)


def _insert(u: list[Number], p: list[int], candidate: Number, j: int) -> None:
    """Lines 8–15 of Algorithm 4: the candidate rises past all that are smaller."""
    K = len(u) - 1
    u[K], p[K] = candidate, j
    k = K
    # A place that is still empty (column −1) gives way to anything, so a row's own −∞ and NaN are ranked as well.
    while k >= 1 and (p[k - 1] == -1 or u[k - 1] < u[k]):
        u[k - 1], u[k] = u[k], u[k - 1]
        p[k - 1], p[k] = p[k], p[k - 1]
        k -= 1
