"""e^a by a polynomial, without a branch, so that a loop over it is vectorised.

    a = n·ln 2 + r,  n an integer,  |r| ≤ ½·ln 2        e^a = 2^n · p(r)

n comes of adding 1.5·2^23 (2^52 in float64), which leaves no room for a fraction and so rounds. 127 (1023) is added
with it, the bias of exponents: the last bits of the sum, shifted to where a float keeps its exponent, are 2^n. ln 2 is subtracted in two parts, the first short enough for n times it to be exact.
Multiplications and additions may fuse, but nothing may be reordered here: that would undo the rounding.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from ...compiled.kernel import kernel

MAX_RELATIVE_ERROR = {"float32": 1.2e-7, "float64": 2.5e-16}
"""Of `exp_below` for results of 2^-126 (2^-1022) and more, tested over all exponents; below, the result is 0."""

FUSED = {"contract"}
SUMS = {"contract", "reassoc", "nsz"}
"""What the compiler may do: fuse a multiplication and an addition; and also reorder sums. Both keep NaN and ∞."""

# p minimises the largest |p(r)/e^r − 1|; fitted by exchange, the first coefficients held at 1, 1, ½ for float32.
_C3, _C4, _C5, _C6 = map(
    np.float32, (0.16666534543037415, 0.04166723042726517, 0.008367427624762058, 0.0013864305801689625)
)
_D2, _D3, _D4, _D5, _D6, _D7, _D8, _D9, _D10, _D11 = (
    0.5000000000000018, 0.1666666666666617, 0.04166666666649277, 0.00833333333355927, 0.0013888888951223987,
    0.00019841269432679237, 2.4801486521427463e-05, 2.7557622530872255e-06, 2.7632293279459877e-07,
    2.4994304884817207e-08,
)  # fmt: skip

_F32 = np.float32
_ZERO, _HALF, _ONE = _F32(0), _F32(0.5), _F32(1)
_LOG2_E = _F32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = _F32(0.693359375), _F32(-2.12194440054691e-4)
_ROUND = _F32(1.5 * 2**23 + 127)
_LOWEST = _F32(-87.33654)  # ln 2^-126

_LOG2_E_64 = 1.4426950408889634
_LN2_HIGH_64, _LN2_LOW_64 = 0.6931471803691238, 1.9082149292705877e-10
_ROUND_64 = 1.5 * 2.0**52 + 1023
_LOWEST_64 = -708.396418532264  # ln 2^-1022


@njit(fastmath=FUSED)
def mantissa(a, n):
    """p(r) in float32 for a = n·ln 2 + r."""
    r = a - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    square = r * r
    p = (_C6 * r + _C5) * square + (_C4 * r + _C3)
    return ((p * r + _HALF) * square + r) + _ONE  # not term by term: fewer steps wait for each other


@njit(fastmath=FUSED)
def mantissa_64(a, n):
    """p(r) in float64."""
    r = a - n * _LN2_HIGH_64
    r = r - n * _LN2_LOW_64
    p = _D11 * r + _D10
    p = p * r + _D9
    p = p * r + _D8
    p = p * r + _D7
    p = p * r + _D6
    p = p * r + _D5
    p = p * r + _D4
    p = p * r + _D3
    p = p * r + _D2
    p = p * r + 1.0
    return p * r + 1.0


def exp_below(a):
    """e^a for a ≤ 0; NaN for NaN, 0 for −∞ and wherever the result would be subnormal."""


@overload(exp_below, jit_options={"fastmath": FUSED})
def _exp_below(a):
    if a == types.float64:

        def of_double(a):
            t = a * _LOG2_E_64 + _ROUND_64
            p = mantissa_64(a, t - _ROUND_64)
            power = np.int64(np.float64(t).view(np.int64) << np.int64(52))
            return 0.0 if a < _LOWEST_64 else p * power.view(np.float64)

        return of_double

    def of_float(a):
        t = a * _LOG2_E + _ROUND
        p = mantissa(a, t - _ROUND)
        power = np.int32(_F32(t).view(np.int32) << np.int32(23))
        return _ZERO if a < _LOWEST else p * power.view(np.float32)

    return of_float


@kernel
def exponentials_of(a, e):
    """e_j = e^(a_j), to look at them."""
    for j in range(a.size):
        e[j] = exp_below(a[j])
