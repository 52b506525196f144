"""The rounding of P·V to bf16 where several P are exactly 1.

arXiv:2510.04212 (§3.3.2) names this a source of biased rounding errors. Why they are biased: the sum of two bf16 numbers
of one exponent needs one bit more than bf16 has, so that every other sum lies exactly between two bf16 numbers; the small
P of the same sign, far below the last place, then decide each of these ties alike, away from zero. Where no P is 1 there
is no bias (its Remark 1), though a fixed shift of m did not make training stable there (its Appendix C).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .formats import rounded

BF16 = torch.bfloat16
BITS = 8
"""Of bf16's significand, the hidden one included."""
OTHERS = 64
"""Keys below the maximum."""
BELOW = 24.0
"""By how many powers of two on average. Their sum is about 2^−18 and a V's last place about 2^−8: that the sum is lost
where nothing ties is no bias to speak of."""


def bias_of_ties(equal: int, shift: float, rows: int, columns: int, generator: torch.Generator) -> float:
    """The mean of (bf16(PV) − PV) in units of the last place of PV, V below 0; below 0 is away from zero.

    P is 2^−shift for `equal` keys and about 2^(−24 − shift) for 64 others, both in bf16; PV is summed in float64.
    """
    P = 2 ** -(BELOW + torch.randn(rows, OTHERS, generator=generator, dtype=torch.float64, device="cpu"))
    P = rounded(torch.cat([torch.ones(rows, equal, dtype=P.dtype, device="cpu"), P], 1) * 2**-shift, BF16)
    V = -torch.randn(rows, equal + OTHERS, columns, generator=generator, dtype=P.dtype, device="cpu").abs()
    PV = torch.einsum("rk,rkc->rc", P, rounded(V, BF16))
    return float(((rounded(PV, BF16) - PV) / last_place(PV)).mean())


def last_place(x: Tensor) -> Tensor:
    """The distance of neighbouring bf16 numbers around each of x."""
    _, exponent = torch.frexp(x)
    return torch.ldexp(torch.ones_like(x), exponent - BITS)
