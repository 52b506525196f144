"""2^x, e^x and tanh as polynomials, which compilers vectorise, unlike calls of a library."""

from __future__ import annotations

from numba import float32, int32

from .kernel import inlined
from .vectors import bits_of_float, float_of_bits, fused

LEAST = float32(-127.0)
"""From here down the result is 0; the smallest normal number is 2^−126."""
_ROUNDING = float32(1.5 * 2**23 + 127)
"""Added to x, it leaves round(x) + 127 in the lowest bits of the sum: as an exponent, 2^round(x)."""
_LAST = int32(23)
C1, C2, C3 = float32(0.6931471824645996), float32(0.24022647738456726), float32(0.055503323674201965)
C4, C5, C6 = float32(0.00961843691766262), float32(0.0013398875016719103), float32(0.00015353361959569156)
"""2^f = 1 + C1·f + … + C6·f^6 for |f| ≤ 1/2: the least relative error with a 1 in front, 2.0e-9 before rounding.
Degree 5 would err by 9.1e-8, more than float32 does."""
ZERO, ONE, TWO = float32(0.0), float32(1.0), float32(2.0)


@inlined
def exp2(x):  # type: ignore[no-untyped-def]
    """2^x of a float32 of at most 127; exactly 1 at 0 and 0 below −127, −∞ included; NaN stays NaN."""
    x = LEAST if x < LEAST else x  # not the other way round, which would make −127 of NaN
    shifted = x + _ROUNDING
    f = x - (shifted - _ROUNDING)
    p = fused(C6, f, C5)
    p = fused(p, f, C4)
    p = fused(p, f, C3)
    p = fused(p, f, C2)
    p = fused(p, f, C1)
    p = fused(p, f, ONE)
    return p * float_of_bits(bits_of_float(shifted) << _LAST)


LOG2_E, LOG2_E_LOW = float32(1.4426950216293335), float32(1.9259629911266175e-8)
_LEAST_EXPONENT = float32(-88.02)
"""Its 2^n is 0."""


@inlined
def exp(x):  # type: ignore[no-untyped-def]
    """e^x of a float32 of at most 88; exactly 1 at 0 and 0 below −87.7, −∞ included; NaN stays NaN.

    log₂e is multiplied in two parts and without rounding: 2^(x·log₂e) would lose a digit at x = −10.
    """
    x = _LEAST_EXPONENT if x < _LEAST_EXPONENT else x
    shifted = fused(x, LOG2_E, _ROUNDING)
    f = fused(x, LOG2_E_LOW, fused(x, LOG2_E, -(shifted - _ROUNDING)))
    p = fused(C6, f, C5)
    p = fused(p, f, C4)
    p = fused(p, f, C3)
    p = fused(p, f, C2)
    p = fused(p, f, C1)
    p = fused(p, f, ONE)
    return p * float_of_bits(bits_of_float(shifted) << _LAST)


T1, T2, T3 = float32(-0.3333328068256378), float32(0.13331443071365356), float32(-0.05373974144458771)
T4, T5 = float32(0.02063916064798832), float32(-0.005705058109015226)
"""tanh u = u + u³·(T1 + … + T5·u^8) for |u| ≤ 5/8: off by 4.4e-9 before rounding."""
SMALL = float32(0.625)
LARGE = float32(20.0)
"""From here on tanh is 1 in float32."""
TWO_LOG2_E = float32(2.8853900817779268)


@inlined
def tanh(u):  # type: ignore[no-untyped-def]
    """tanh of a float32; both ways are computed, which is what lanes can do. NaN stays NaN."""
    z = u * u
    p = fused(T5, z, T4)
    p = fused(p, z, T3)
    p = fused(p, z, T2)
    p = fused(p, z, T1)
    near = fused(u * z, p, u)
    size = abs(u)
    size = LARGE if size > LARGE else size
    far = ONE - TWO / (exp2(size * TWO_LOG2_E) + ONE)
    far = -far if u < ZERO else far
    return near if abs(u) < SMALL else far
