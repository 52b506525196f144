"""Softmax in two passes and without a maximum: Dukhan & Ablavatski (arXiv:2001.04438).

e^x overflows, but its mantissa and its exponent do not when they are kept apart: e^x = p·2^n. The first pass adds such
pairs, always to the larger exponent; the second computes each pair again and divides.

Sums of pairs cannot be left to the compiler to reorder. `LANES` of them run side by side instead, each in a place of
its own, and are added in halves at the end.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from ...compiled.kernel import inlined, kernel
from ...compiled.shares import in_shares
from .bits import load, store, to
from .exponential import FUSED, mantissa, mantissa_64
from .matrix import Matrix, cut, numbers, result, room, row
from .rows import safe_row

LANES = 128

LIMIT = 11_000.0
"""In float32 n·ln 2 is subtracted exactly up to |n| = 2^14, |x| = 11,356. A row whose largest logit lies beyond is
given to `safe_row`; smaller logits than −LIMIT are taken for it, and beside anything larger they come out as 0."""

_LIMIT_32, _LIMIT_64 = np.float32(LIMIT), np.float64(LIMIT)
_LOWEST_N = -14_800  # above the exponent of −LIMIT, −15,870, by more than the 1,022 that a float64 can tell
_HIGHEST_N = 15_800
_LOG2_E_32, _LOG2_E_64 = np.float32(1.4426950408889634), 1.4426950408889634
_ROUND_32, _ROUND_64 = np.float32(1.5 * 2**23), 1.5 * 2.0**52


def pair(x):
    """(p, n) with e^x = p·2^n, p between 0.7 and 1.42 and n an integer."""


def power(n, like):
    """2^n for n ≤ 0; 0 where that is not a normal number."""


@overload(pair, jit_options={"fastmath": FUSED})
def _pair(x):
    if x == types.float64:

        def of_double(x):
            a = -_LIMIT_64 if x < -_LIMIT_64 else x
            a = _LIMIT_64 if a > _LIMIT_64 else a
            t = a * _LOG2_E_64 + _ROUND_64
            n = np.float64(t).view(np.int64) - np.float64(_ROUND_64).view(np.int64)
            return mantissa_64(a, t - _ROUND_64), n

        return of_double

    def of_float(x):
        a = -_LIMIT_32 if x < -_LIMIT_32 else x
        a = _LIMIT_32 if a > _LIMIT_32 else a
        t = a * _LOG2_E_32 + _ROUND_32
        n = np.int32(np.float32(t).view(np.int32) - np.float32(_ROUND_32).view(np.int32))
        return mantissa(a, t - _ROUND_32), n

    return of_float


@overload(power)
def _power(n, like):
    if like == types.float64:

        def double(n, like):
            kept = max(np.int64(n), np.int64(-1023))
            return np.int64((kept + np.int64(1023)) << np.int64(52)).view(np.float64)

        return double

    def single(n, like):
        kept = max(np.int32(n), np.int32(-127))
        return np.int32((kept + np.int32(127)) << np.int32(23)).view(np.float32)

    return single


def exponents(e):
    """`LANES` integers as wide as the floats that e holds."""


@overload(exponents)
def _exponents(e):
    if e.dtype == types.float64:
        return lambda e: np.empty(LANES, np.int64)
    return lambda e: np.empty(LANES, np.int32)


@njit(fastmath=FUSED)
def absorb(x, s, k):
    """Lane l becomes (s_l, k_l) ⊕ the pair of x_l."""
    for l in range(x.size):  # noqa: E741
        p, n = pair(load(x, l))
        k_new = max(k[l], n)
        s[l] = s[l] * power(k[l] - k_new, p) + p * power(n - k_new, p)
        k[l] = k_new


@njit(fastmath=FUSED)
def fold(s, k, half):
    """Lane l becomes the sum of lanes l and l + half."""
    for l in range(half):  # noqa: E741
        k_new = max(k[l], k[l + half])
        s[l] = s[l] * power(k[l] - k_new, s[l]) + s[l + half] * power(k[l + half] - k_new, s[l])
        k[l] = k_new


@njit(fastmath=FUSED, error_model="numpy")
def quotients(x, y, s, k):
    """y_j = e^(x_j) / (s·2^k), by the reciprocal of s and one step that makes up for its rounding."""
    c = to(1.0, s) / s
    for j in range(y.size):
        p, n = pair(load(x, j))
        w = p * power(n - k, p)
        q = w * c
        store(y, j, q + (w - q * s) * c)


@inlined
def _two_pass(i, matrix):
    (x, y), e = numbers(matrix), room(matrix.like, matrix.columns)
    first, last = cut(matrix.rows, i, matrix.shares)
    s, k = np.empty(LANES, e.dtype), exponents(e)
    for r in range(first, last):
        x_r, y_r = row(matrix, x, r), result(matrix, y, r)
        s[:] = 0
        k[:] = -(1 << 24)
        for b in range(0, matrix.columns, LANES):
            absorb(x_r[b : b + LANES], s, k)
        half = LANES // 2
        while half:
            fold(s, k, half)
            half //= 2
        if _LOWEST_N < k[0] < _HIGHEST_N:
            quotients(x_r, y_r, s[0], k[0])
        else:  # out of range, nothing but −∞, or an infinity or NaN, whose bits make a large exponent
            safe_row(x_r, y_r, e)


@kernel
def two_pass(team, x, y, starts, rows, columns, shares, like):
    """Two passes over each row; arguments as in `rows`."""
    in_shares(_two_pass, team, shares, Matrix(x, y, starts, rows, columns, shares, like))
