"""The polynomial exponentials of FlashAttention-4, and softmax made of them."""

import math

import pytest
import torch

from lab.core.softmax import SOFTMAXES
from lab.core.softmax.exp2 import COEFFICIENTS, DEGREES, MAX_RELATIVE_ERROR, accuracy, exp2, exp2_softmax
from lab.core.trial import Refused

HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("degree", COEFFICIENTS)
def test_the_error_is_the_one_stated(degree):
    found = accuracy(degree)
    assert 0.5 * MAX_RELATIVE_ERROR[degree] < found.largest_relative_error <= MAX_RELATIVE_ERROR[degree]
    rounding = 2**-8 / (1 + 2**-8)  # half a unit, just above 1
    assert 0.999 * rounding < found.largest_in_bfloat16 <= rounding + MAX_RELATIVE_ERROR[degree]


@pytest.mark.parametrize("degree", COEFFICIENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_over_all_exponents(degree, dtype):
    x = -torch.logspace(-30, math.log10(125.9), 20_000, dtype=dtype)
    truth = torch.exp2(x.double())
    assert ((exp2(x, degree).double() - truth) / truth).abs().max() <= MAX_RELATIVE_ERROR[degree]
    assert exp2(torch.tensor([0.0, -1.0, -126.0]), degree).tolist() == [1, 0.5, 2.0**-126]
    assert exp2(torch.tensor([-127.0, -math.inf]), degree).tolist() == [0, 0]
    assert exp2(torch.tensor(math.nan), degree).isnan()


def test_there_is_no_polynomial_of_degree_2():
    with pytest.raises(ValueError, match="of degree 3, 4, 5, not 2"):
        exp2(torch.zeros(2), 2)


@pytest.mark.parametrize("name", DEGREES)
@pytest.mark.parametrize("dtype", HALVES)
def test_softmax_in_halves(name, dtype):
    x = torch.randn(5, 700, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 3] = x[1, :600] = -math.inf
    x[2], x[3, 5], x[4] = -math.inf, math.nan, x[4] + 100
    y, truth = SOFTMAXES[name](x), torch.softmax(x.double(), -1)
    torch.testing.assert_close(y.double(), truth, rtol=torch.finfo(dtype).eps, atol=1e-6, equal_nan=True)
    assert y[0, 3] == 0
    assert exp2_softmax(x.t(), 0, degree=DEGREES[name]).shape == (700, 5)
    assert exp2_softmax(x[:, :0], degree=3).shape == (5, 0)


def test_float32_takes_degree_5_and_no_less():
    x = torch.randn(5, 700, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        SOFTMAXES["exp2-poly-5"](x).double(), torch.softmax(x.double(), -1), rtol=3e-6, atol=0
    )
    with pytest.raises(Refused, match=r"degree 3 is good to 8.8e-05: too coarse for float32"):
        SOFTMAXES["exp2-poly-3"](x)


def test_the_gradient_is_softmaxs_as_far_as_the_polynomial_goes():
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    g = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad(SOFTMAXES["exp2-poly-5"](x), x, g)
    (expected,) = torch.autograd.grad(torch.softmax(x, -1), x, g)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
