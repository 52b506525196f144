"""The few operations that the reference algorithms need, on one number or on a vector of numbers.

A reference algorithm reads `x[j]`. In a row of floats that is a float; in a tensor whose first dimension is the column
it is a vector with one number for each row of a matrix, and the same lines then work on all rows at once. Only this
file distinguishes the two.
"""

from __future__ import annotations

import math
from typing import Any

import torch

Number = Any  # a float, a number that counts (counting.py), or a tensor: whatever subtracts, multiplies and compares

_PLAIN = (float, int)  # anything else is a tensor


def exp(a: Number) -> Number:
    """e^a; infinity where a float cannot hold it, as in a tensor, instead of Python's OverflowError."""
    if not isinstance(a, _PLAIN) or hasattr(a, "exp"):
        return a.exp()
    try:
        return math.exp(a)
    except OverflowError:
        return math.inf


def exp_below(a: Number, m: Number) -> Number:
    """e^(a − m) for a ≤ m, and 0 where both are −∞.

    A maximum of −∞ means that all elements so far are masked, with a sum of 0; −∞ − (−∞) would be NaN.
    """
    if isinstance(m, _PLAIN):
        return 0.0 if m == -math.inf else exp(a - m)
    # In a vector m is kept finite: where it was −∞ so is a, and e^(−∞ − anything finite) is 0.
    return exp(a - m.clamp(min=torch.finfo(m.dtype).min))


def maximum(a: Number, b: Number) -> Number:
    """The larger of `a` and `b`; `a` may be a plain number beside a vector `b`."""
    return max(a, b) if isinstance(b, _PLAIN) else b.clamp(min=a)


def divide(a: Number, d: Number) -> Number:
    """a / d, with 0 / 0 = NaN as in a tensor, instead of Python's ZeroDivisionError."""
    return math.nan if isinstance(d, _PLAIN) and d == 0 else a / d


def one_unless_empty(a: Number) -> Number:
    """1, and 0 where a = −∞: the number of unmasked elements."""
    if isinstance(a, _PLAIN):
        return 1.0 if a > -math.inf else 0.0
    return (a > -math.inf).to(a.dtype)


# 32 bits, so that n times them is exact, and the rest
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
NO_EXPONENT = -(2.0**31)
"""The exponent of 0 as `split` gives it, below that of any logit; −∞ would make NaN of a difference."""


def split(a: Number) -> tuple[Number, Number]:
    """(p, n) with e^a = p·2^n, p between 0.7 and 1.42 and n an integer; (0, `NO_EXPONENT`) for a = −∞."""
    if not isinstance(a, _PLAIN):
        is_finite = a > -math.inf
        kept = a.where(is_finite, 0.0)
        n = (kept / math.log(2)).round()
        p = ((kept - n * _LN2_HIGH) - n * _LN2_LOW).exp()
        return p.where(is_finite, 0.0), n.where(is_finite, NO_EXPONENT)
    if a == -math.inf:
        return 0.0, NO_EXPONENT
    if not math.isfinite(a):
        return math.nan, 0.0
    n = float(round(a / math.log(2)))
    return exp((a - n * _LN2_HIGH) - n * _LN2_LOW), n


def power_of_two(n: Number) -> Number:
    """2^n for an integer n ≤ 0, kept as a float."""
    if isinstance(n, _PLAIN):
        return math.ldexp(1.0, int(max(n, -1100.0)))
    return n.clamp(min=-1100.0).exp2()
