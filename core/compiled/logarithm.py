"""log x as a polynomial, which compilers vectorise, unlike calls of a library."""

from __future__ import annotations

from numba import float32, int32

from .kernel import inlined
from .vectors import bits_of_float, float_of_bits, fused

_ROOT_HALF = int32(0x3F3504F3)
"""The bits of √½."""
_P = tuple(
    map(
        float32,
        (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
         -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )
)  # fmt: skip
"""log(1 + f) = f − f²/2 + f³·(P8 + … + P0·f^8) for √½ − 1 ≤ f < √2 − 1: the coefficients of Cephes, logf.c."""
P0, P1, P2, P3, P4, P5, P6, P7, P8 = _P
LN_2_HIGH, LN_2_LOW = float32(0.693359375), float32(-2.12194440e-4)
HALF, ONE = float32(0.5), float32(1.0)


@inlined
def log(x):  # type: ignore[no-untyped-def]
    """log x of a normal float32 above 0, off by about 1e-7 of it. Other numbers, NaN among them, give nonsense."""
    # x = 2^k·(1 + f) with 1 + f between √½ and √2, so that both parts are small where x is near 1.
    k = int32(int32(bits_of_float(x) - _ROOT_HALF) >> int32(23))
    f = float_of_bits(int32(bits_of_float(x) - (k << int32(23)))) - ONE
    square = f * f
    p = fused(P0, f, P1)
    p = fused(p, f, P2)
    p = fused(p, f, P3)
    p = fused(p, f, P4)
    p = fused(p, f, P5)
    p = fused(p, f, P6)
    p = fused(p, f, P7)
    p = fused(p, f, P8)
    k = float32(k)
    small = fused(p, f * square, fused(k, LN_2_LOW, -HALF * square))
    return fused(k, LN_2_HIGH, f + small)
