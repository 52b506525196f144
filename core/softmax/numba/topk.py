"""Softmax and the search for its K largest in one pass: Algorithm 4 of Milakov & Gimelshein (arXiv:1805.02867)."""

from __future__ import annotations

from ...compiled.kernel import inlined, kernel
from ...compiled.shares import in_shares
from .bits import load, lowest, to
from .exponential import exp_below
from .matrix import Matrix, cut, numbers, row
from .rows import BLOCK, largest, normalizer

PART = 64
"""Elements of a block that are looked through one by one if the largest of them is a candidate."""


@inlined
def rise(u, p, value, j):
    """Put `value` of column j in the place of the smallest, and let it rise past all that are smaller."""
    k = u.size - 1
    while k > 0 and value > u[k - 1]:
        u[k], p[k] = u[k - 1], p[k - 1]
        k -= 1
    u[k], p[k] = value, j


@inlined
def search(x, u, p, b):
    """Let those of a block that beat the smallest of the K rise; the block begins with column b.

    It is looked through in parts, of which most have none: for a large K nearly every block has one.
    """
    K = u.size
    for part in range(0, x.size, PART):
        x_p = x[part : part + PART]
        if largest(x_p) > u[K - 1]:
            for j in range(x_p.size):
                if b + part + j >= K and load(x_p, j) > u[K - 1]:
                    rise(u, p, load(x_p, j), b + part + j)


@inlined
def _online_topk(i, given):
    matrix, u, p = given
    x, _ = numbers(matrix)
    first, last = cut(matrix.rows, i, matrix.shares)
    K = u.shape[1]
    for r in range(first, last):
        x_r, u_r, p_r = row(matrix, x, r), u[r], p[r]
        for j in range(K):  # the first K, in order; −∞ and NaN keep their places
            rise(u_r[: j + 1], p_r[: j + 1], load(x_r, j), j)
        m, d = lowest(u), 0.0
        for b in range(0, matrix.columns, BLOCK):
            x_b = x_r[b : b + BLOCK]
            m_b = largest(x_b)
            m_new = max(m, m_b)
            d = d * exp_below(m - m_new) + normalizer(x_b, m_new)
            m = m_new
            if m_b > u_r[K - 1]:
                search(x_b, u_r, p_r, b)
        for j in range(K):
            u_r[j] = to(exp_below(u_r[j] - m) / d, m)


@kernel
def online_topk(team, x, starts, rows, columns, shares, like, u, p):
    """The K largest probabilities of each row and their columns; other arguments as in `rows`.

    A block is searched for candidates only if its maximum beats the smallest of the K.

    Args:
        u: (rows, K) of the type that is computed with, to be filled with probabilities.
        p: (rows, K) int64, to be filled with columns.
    """
    in_shares(_online_topk, team, shares, (Matrix(x, 0, starts, rows, columns, shares, like), u, p))
