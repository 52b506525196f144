"""The rule by which a result is right or wrong, applied before anything is timed.

FlashAttention's tests apply it (Dao-AILab/flash-attention, tests/test_flash_attn.py): the error of a new implementation
may be twice that of the standard one in the same dtype, and a rounding or two more. Here the truth is computed in
float64.

The rounding is measured on the numbers themselves, and over few of them, or over 64 times 1/64, it can be exactly 0; in
float64 the truth is no more exact than the result. So a few units in the last place of the largest number are always
allowed (without them `torch.logsumexp` would be wrong in half precision).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..trial import Wrong

UNITS_ALLOWED = {torch.float16: 2, torch.bfloat16: 2, torch.float32: 8, torch.float64: 64}
"""Adding 64 numbers one by one in float32 loses up to five units. Halves are added in float32 and lose only by rounding;
in float64 the reference is no more exact than the sum."""


CAPS = {torch.float16: 5e-2, torch.bfloat16: 0.2, torch.float32: 2e-4, torch.float64: 1e-10}
"""The largest error as a share of the largest number, however bad the standard form is: four times the tolerance of
PyTorch's own tests of attention."""


def allowed_error(reference: Tensor, standard: Tensor, times: float = 2) -> float:
    """The largest absolute error that passes: times·e + 2·max|((ref + 0.3) − 0.3) − ref|.

    e is max |standard − ref|; the second term, evaluated in the dtype of `standard`, is the rounding of that dtype for
    numbers of this size. Elements where either is not finite in that dtype are left out.

    Args:
        reference: the truth, float64, any shape.
        standard: the same computed in the standard way in the dtype under test, same shape.
    Raises ValueError: when the shapes differ.
    """
    if reference.shape != standard.shape:
        raise ValueError(f"reference is {tuple(reference.shape)} but standard is {tuple(standard.shape)}")
    rounded = reference.detach().to(standard)
    roundings = ((rounded + 0.3) - 0.3) - rounded
    return times * _largest_error(standard, reference) + 2 * _largest(roundings)


def compare(
    case: str,
    result: Tensor,
    standard: Tensor,
    reference: Tensor,
    *,
    least_size: float = 0.0,
    least_allowed: float = 0.0,
    times: float = 2,
    is_capped: bool = False,
) -> dict[str, float]:
    """Apply the rule to `result`.

    Where the reference, rounded to the dtype under test, is NaN or infinite, the result must be the same NaN or
    infinity; everywhere else it must be finite.

    Args:
        case: what was computed, in words from which a reader can reproduce it.
        result: what the variant gives.
        standard: what the standard form gives; its dtype is the one that `result` must have.
        reference: the truth, float64. All three of one shape, which may be empty.
        least_size: the size of the numbers behind a smaller result: logarithms near 0 are computed from numbers near 1
            and are no more exact than those.
        least_allowed: an error that the caller knows to be inevitable in the dtype; over few numbers the standard form
            may by luck have none.
        times: how much further from the truth than the standard form the result may be. Two, as in FlashAttention's
            tests; those give gradients and soft-capped scores three.
        is_capped: whether `CAPS` hold too.
    Returns:
        error: the largest absolute error.
        error_allowed: by `allowed_error`, and at least `UNITS_ALLOWED` of the largest number and `least_allowed`.
        error_ratio: the error over the standard form's own, or over half a unit in the last place of the largest
            number in the reference where that is more, since no result in that dtype is meant to be nearer.
    Raises:
        Wrong: when the error is larger than allowed; also, with an infinite error and the reason in the case's
            text, for another shape or dtype and for a NaN or an infinity where the reference has none.
        ValueError: when the shapes of `standard` and `reference` differ.
    """
    limits = torch.finfo(standard.dtype)
    size = max(_largest(reference), least_size)
    unit = size * limits.eps
    units = UNITS_ALLOWED.get(standard.dtype, 2) * unit
    allowed = max(allowed_error(reference, standard, times), units, least_allowed)
    if is_capped:
        allowed = min(allowed, CAPS[standard.dtype] * size)
    for complaint in (_other_form(result, standard), _wrong_non_finite(result, standard, reference)):
        if complaint:
            raise Wrong(f"{case}: {complaint}", math.inf, allowed)

    error = _largest_error(result, reference)
    if error > allowed:
        raise Wrong(case, error, allowed)

    own = max(_largest_error(standard, reference), unit / 2, limits.tiny)
    return {"error": error, "error_allowed": allowed, "error_ratio": error / own}


def _other_form(result: Tensor, standard: Tensor) -> str | None:
    if result.shape != standard.shape:
        return f"shape {tuple(result.shape)} instead of {tuple(standard.shape)}"
    if result.dtype != standard.dtype:
        return f"dtype {_short(result.dtype)} instead of {_short(standard.dtype)}"
    return None


def _wrong_non_finite(result: Tensor, standard: Tensor, reference: Tensor) -> str | None:
    """What is wrong with the NaNs and infinities of `result`, or None."""
    if result.shape != reference.shape:
        return None
    # A true value beyond the dtype's range is an infinity there.
    expected, found = reference.detach().to(standard), result.detach().to(standard)
    faults = (
        ("NaN", found.isnan() & ~expected.isnan()),
        ("infinite", found.isinf() & (found != expected)),
        ("finite where the reference is not", found.isfinite() & ~expected.isfinite()),
    )
    for words, at in faults:
        if count := int(at.sum()):
            first = tuple(at.nonzero()[0].tolist())
            return f"{count} {'value is' if count == 1 else 'values are'} {words}, first at {first}"
    return None


def _largest_error(values: Tensor, reference: Tensor) -> float:
    return _largest(values.detach().to(reference) - reference.detach())


def _largest(values: Tensor) -> float:
    """The largest absolute value among the finite ones; 0 when there is none."""
    values = values.detach()
    largest = float(values.abs().max()) if values.numel() else 0.0
    if math.isfinite(largest):  # as nearly always; to pick out the finite ones costs a third of all checks
        return largest
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
