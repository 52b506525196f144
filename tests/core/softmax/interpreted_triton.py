"""The Triton kernels under Triton's interpreter. Run by test_triton.py in a process of its own, with TRITON_INTERPRET=1."""

import math

import pytest
import torch

from lab.core.measure.correctness import compare
from lab.core.softmax import SOFTMAXES, operations, triton_softmax
from lab.core.softmax.battery import Task, check

NAMES = ["safe-triton", "online-triton", "two-pass-triton"]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """So that a row of some hundred columns is several blocks, which the interpreter goes through one by one."""
    monkeypatch.setattr(triton_softmax, "BLOCK", 64)


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def right(y, x, dim=-1):
    return compare("here", y, operations.safe(x, dim), torch.softmax(x.double(), dim))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_softmaxes_battery(name, dtype):
    check(Task("softmax", 1, SOFTMAXES[name]), normal(3, 130, dtype=dtype), stable=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (7,), (0, 5), (3, 0), (2, 3, 70), (2, 1), (2, 64), (2, 65)])
def test_shapes(name, shape):
    x = normal(*shape)
    y = SOFTMAXES[name](x)
    assert y.shape == x.shape
    torch.testing.assert_close(y, torch.softmax(x, -1))


@pytest.mark.parametrize("name", NAMES)
def test_layouts(name):
    wide = normal(2, 3, 2, 9)
    for x in (wide[:, ::2, 1:, :7], wide.transpose(1, 3), wide[:1].expand(2, -1, -1, -1)):
        for dim in (-1, 1):
            right(SOFTMAXES[name](x, dim), x, dim)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_finite(name, dtype):
    for columns in (40, 200):
        x = normal(7, columns, dtype=dtype)
        x[0, -1] = -math.inf
        x[1, :-3] = -math.inf
        x[2] = -math.inf
        x[3, 17] = math.inf
        x[4, columns - 5] = math.nan
        x[5, 3] = -math.nan
        x[6, 0], x[6, -1] = math.inf, -math.inf
        y = SOFTMAXES[name](x)
        right(y, x)
        assert y[2:].isnan().all()
        assert (y[1, :-3] == 0).all() and y[0, -1] == 0


@pytest.mark.parametrize("name", NAMES)
def test_large_logits(name):
    for dtype in (torch.float32, torch.float64):
        x = normal(8, 100, dtype=dtype)
        x += torch.tensor([[1e4], [-1e4], [2e4], [-2e4], [1e30], [-1e30], [10_250.0], [-10_250.0]])
        x[7, 5] = -math.inf
        y = SOFTMAXES[name](x)
        right(y, x)
        assert y[7, 5] == 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_first_and_second_order(name):
    x = normal(2, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: SOFTMAXES[name](x, 0), x)
    assert torch.autograd.gradgradcheck(lambda x: SOFTMAXES[name](x, -1), x)
