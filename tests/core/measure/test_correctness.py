import math

import numpy as np
import pytest
import torch

from lab.core.measure.correctness import allowed_error, compare
from lab.core.trial import Wrong

nan, inf = math.nan, math.inf


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def single(*values):
    return torch.tensor(values, dtype=torch.float32)


def test_allowed_error_by_hand():
    """Twice the standard form's error and twice the rounding, each found with NumPy."""
    reference = double(0.1, -0.7, 3.3)
    standard = torch.tensor([0.101, -0.7, 3.3], dtype=torch.float16)

    error = max(
        abs(float(np.float16(s)) - r) for s, r in zip((0.101, -0.7, 3.3), (0.1, -0.7, 3.3), strict=True)
    )
    step = np.float16(0.3)
    rounding = max(
        abs(float(np.float16(np.float16(np.float16(r) + step) - step)) - float(np.float16(r)))
        for r in (0.1, -0.7, 3.3)
    )
    assert rounding > 0
    assert allowed_error(reference, standard) == pytest.approx(2 * error + 2 * rounding, rel=1e-12)


def test_allowed_error_by_exact_numbers():
    # 0.5 off, and 1 is the same after + 0.3 − 0.3 but for one rounding at 1.3: 2⁻²³ · a whole number.
    allowed = allowed_error(double(1.0), single(1.5))
    assert 0 <= allowed - 1.0 <= 4 * 2**-23


def test_a_coarser_dtype_allows_more():
    reference = torch.linspace(0.01, 1, 50, dtype=torch.float64)
    by_dtype = [
        allowed_error(reference, reference.to(dtype))
        for dtype in (torch.float32, torch.float16, torch.bfloat16)
    ]
    assert by_dtype[0] < by_dtype[1] / 100 < by_dtype[2] / 100


def test_metrics():
    reference, standard = double(1.0, 2.0), single(1.0, 2.5)
    metrics = compare("case", single(1.25, 2.0), standard, reference)
    assert metrics == {"error": 0.25, "error_allowed": allowed_error(reference, standard), "error_ratio": 0.5}


def test_the_ratio_does_not_explode_when_the_standard_form_is_exact():
    metrics = compare("case", single(1.0, 2.0), single(1.0, 2.0), double(1.0, 2.0))
    assert metrics["error"] == metrics["error_ratio"] == 0
    # The float32 below 1 is 2⁻²⁴ away; half a unit in the last place of 2 is 2⁻²³.
    metrics = compare("case", single(1 - 2**-24, 2.0), single(1.0, 2.0), double(1.0, 2.0))
    assert metrics["error_ratio"] == 0.5
    assert compare("case", single(0.0), single(0.0), double(0.0))["error_ratio"] == 0


@pytest.mark.parametrize(("off", "is_right"), [(0.9, True), (1.1, False)])
def test_the_limit_is_where_it_is_said(off, is_right):
    reference, standard = double(1.0, 2.0), single(1.0, 2.5)
    result = reference.clone()
    result[0] += off * allowed_error(reference, standard)
    if is_right:
        compare("case", result.float(), standard, reference)
        return
    with pytest.raises(Wrong) as wrong:
        compare("columns=2", result.float(), standard, reference)
    assert wrong.value.case == "columns=2"
    assert wrong.value.allowed == allowed_error(reference, standard)
    assert wrong.value.error == pytest.approx(1.1 * wrong.value.allowed, rel=1e-6)


def complaint(result, standard, reference):
    with pytest.raises(Wrong) as wrong:
        compare("case", result, standard, reference)
    assert wrong.value.error == inf
    return wrong.value.case


def test_another_form_is_wrong():
    reference = torch.zeros(3, 5, dtype=torch.float64)
    standard = reference.half()
    assert complaint(torch.zeros(3, 4).half(), standard, reference) == "case: shape (3, 4) instead of (3, 5)"
    assert complaint(reference.float(), standard, reference) == "case: dtype float32 instead of float16"
    # (5,) would broadcast.
    assert complaint(standard[0], standard, reference) == "case: shape (5,) instead of (3, 5)"


def test_numbers_out_of_place_are_wrong():
    reference = torch.ones(2, 4, dtype=torch.float64)
    standard = reference.float()
    result = standard.clone()
    result[0, 3] = nan
    assert complaint(result, standard, reference) == "case: 1 value is NaN, first at (0, 3)"
    result[1, :] = nan
    assert complaint(result, standard, reference) == "case: 5 values are NaN, first at (0, 3)"
    result = standard.clone()
    result[1, 0] = -inf
    assert complaint(result, standard, reference) == "case: 1 value is infinite, first at (1, 0)"


def test_nan_and_infinity_are_right_where_the_reference_has_them():
    reference = double(nan, inf, -inf, 1.0)
    metrics = compare("case", single(nan, inf, -inf, 1.25), single(nan, inf, -inf, 1.5), reference)
    assert metrics["error"] == 0.25

    standard = reference.float()
    assert "1 value is infinite, first at (1,)" in complaint(single(nan, -inf, -inf, 1), standard, reference)
    assert "1 value is finite" in complaint(single(nan, inf, 0, 1), standard, reference)
    assert "1 value is finite" in complaint(single(0, inf, -inf, 1), standard, reference)
    assert "1 value is infinite" in complaint(single(inf, inf, -inf, 1), standard, reference)


def test_what_the_dtype_cannot_hold_is_infinite_in_it():
    reference = double(1e5, 1.0)
    compare("case", torch.tensor([inf, 1.0]).half(), torch.tensor([inf, 1.0]).half(), reference)


def test_a_standard_form_that_breaks_does_not_open_the_gate():
    reference, standard = double(1.0, 1.0), single(inf, 1.0)
    assert allowed_error(reference, standard) < 1e-6
    assert "infinite" in complaint(single(inf, 1.0), standard, reference)


def test_empty_tensors_are_right():
    reference = torch.zeros(0, 5, dtype=torch.float64)
    assert compare("case", reference.float(), reference.float(), reference)["error"] == 0


def test_shapes_of_our_own_must_fit():
    with pytest.raises(ValueError, match=r"\(2,\) but standard is \(1,\)"):
        compare("case", single(1.0), single(1.0), double(1.0, 2.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_rule_on_softmax(dtype):
    """Another order of summation passes; a forgotten maximum, a lost column and a wrong base do not."""
    x = torch.randn(16, 300, generator=torch.Generator().manual_seed(0)).mul(4).to(dtype)
    reference, standard = torch.softmax(x.double(), -1), torch.softmax(x, -1)

    weights = torch.exp(x - x.amax(-1, keepdim=True))
    halves = weights[:, :150].sum(-1, keepdim=True) + weights[:, 150:].sum(-1, keepdim=True)
    compare("halves", weights.float().div(halves.float()).to(dtype).requires_grad_(), standard, reference)

    for wrong in (
        torch.exp(x + 1000) / torch.exp(x + 1000).sum(-1, keepdim=True),
        weights / weights[:, 1:].sum(-1, keepdim=True).mul(0.9),
        torch.softmax(x.float() * math.log(2), -1).to(dtype),
    ):
        with pytest.raises(Wrong):
            compare("softmax", wrong, standard, reference)
