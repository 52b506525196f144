"""2^x by a polynomial, as FlashAttention-4 (arXiv:2603.05451, §3.1.3) computes it on multiplication units when the
exponential units are busy.

    2^x = 2^⌊x⌋ · p(x − ⌊x⌋)        p(f) ≈ 2^f on [0, 1)

The coefficients are facts of the FlashAttention repository (flash_attn/cute), found there by Sollya for the least
relative error, all of them float32 and the first of them 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..trial import Refused
from .operations import accumulator, check_floating

COEFFICIENTS: dict[int, tuple[float, ...]] = {
    3: (1.0, 0.695146143436431884765625, 0.227564394474029541015625, 0.077119089663028717041015625),
    4: (1.0, 0.693042695522308349609375, 0.2412912547588348388671875, 0.052225358784198760986328125,
        0.013434938155114650726318359375),
    5: (1.0, 0.693151414394378662109375, 0.24016360938549041748046875, 0.055802188813686370849609375,
        0.00901452266579836273193359375, 0.00186810153536498546600341796875),
}  # fmt: skip
MAX_RELATIVE_ERROR = {3: 8.8e-5, 4: 3.1e-6, 5: 1.8e-7}
"""Of `exp2` in float32; of this the polynomial of degree 5 itself makes 8.5e-8, and rounding the rest."""


def exp2(x: Tensor, degree: int = 3) -> Tensor:
    """2^x for x ≤ 0, in x's dtype, float32 or float64.

    Returns: like x; 0 below −126, where float32 has no normal number left; NaN for NaN. Its slope is that of p, not of
    2^x.
    Raises ValueError: there is no polynomial of that degree.
    """
    if degree not in COEFFICIENTS:
        raise ValueError(f"polynomials of degree {', '.join(map(str, COEFFICIENTS))}, not {degree}")
    whole = x.detach().floor()
    f = x - whole
    *lower, p = COEFFICIENTS[degree]
    value = torch.full_like(f, p)
    for c in reversed(lower):
        value = value * f + c
    return torch.where(x < -126, 0.0, torch.ldexp(value, whole.clamp(min=-126)))


def exp2_softmax(x: Tensor, dim: int = -1, *, degree: int = 5) -> Tensor:
    """Safe softmax, e^(x − m) as `exp2` of (x − m)·log2 e.

    Args:
        x: logits of any shape; float16 or bfloat16, and float32 for degree 5. Halves are computed in float32.
        dim: the dimension that sums to one.
        degree: of the polynomial; 3, 4 or 5.
    Returns: probabilities, like x. The gradient is that of softmax as far as the polynomial is 2^f.
    Raises Refused: the polynomial is coarser than x's dtype, so that the result would be wrong in it.
    """
    if x.dtype is torch.float64 or (x.dtype is torch.float32 and degree < 5):
        raise Refused(
            f"2^f by a polynomial of degree {degree} is good to {MAX_RELATIVE_ERROR[degree]:.1e}: "
            f"too coarse for {str(x.dtype).removeprefix('torch.')}"
        )
    check_floating(x)
    if x.numel() == 0:
        return torch.empty_like(x)
    m = x.detach().amax(dim, keepdim=True).to(accumulator(x.dtype))
    e = exp2((x - m) * math.log2(math.e), degree)
    return (e / e.sum(dim, keepdim=True)).to(x.dtype)


DEGREES = {"exp2-poly-3": 3, "exp2-poly-4": 4, "exp2-poly-5": 5}
BY_DEGREE = {degree: partial(exp2_softmax, degree=degree) for degree in COEFFICIENTS}


@dataclass(frozen=True)
class Accuracy:
    """How `exp2` in float32 compares with 2^f in float64, over fractions evenly spread over [0, 1).

    Attributes:
        largest_relative_error: max |found − 2^f| / 2^f.
        largest_in_bfloat16: the same once what is found is rounded to bfloat16. Rounding 2^f itself errs by up to
            2^−8 / (1 + 2^−8), 3.89e-3.
    """

    largest_relative_error: float
    largest_in_bfloat16: float


def accuracy(degree: int, bits: int = 20) -> Accuracy:
    """Over the multiples of 2^-bits; 24 for all that float32 tells apart near 1."""
    f = torch.arange(1 << bits, dtype=torch.float32, device="cpu") * 2.0**-bits
    found, truth = exp2(f - 1, degree) * 2, torch.exp2(f.double())

    def largest(x: Tensor) -> float:
        return float(((x.double() - truth) / truth).abs().max())

    return Accuracy(largest(found), largest(found.to(torch.bfloat16)))
