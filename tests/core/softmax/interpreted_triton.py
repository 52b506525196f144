"""The Triton kernels under Triton's interpreter. Run by test_triton.py in a process of its own, with TRITON_INTERPRET=1."""

import math

import pytest
import torch
import triton_interpreter  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.softmax import SOFTMAXES
from lab.core.softmax.battery import Task, check
from lab.core.softmax.triton import backend

from .corners import DTYPES, EMPTY, inputs, normal, right, spoilt, tensors

NAMES = ["safe-triton", "online-triton", "two-pass-triton"]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """So that a row of some hundred columns is several blocks, which the interpreter goes through one by one."""
    monkeypatch.setattr(backend, "BLOCK", 64)


def smaller(x, dim):
    """At most two of each other dimension, in the same layout: the interpreter is slow."""
    for other in set(range(x.dim())) - {dim % max(x.dim(), 1)}:
        x = x.narrow(other, 0, min(2, x.shape[other]))
    return x


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_softmaxes_battery(name, dtype, monkeypatch):
    monkeypatch.setattr(backend, "BLOCK", 256)  # its longest rows have 1025 columns
    check(Task("softmax", 1, SOFTMAXES[name]), normal(3, 130, dtype=dtype), stable=True)


@pytest.mark.parametrize("name", NAMES)
def test_lengths_places_and_layouts(name):
    for x, dim in inputs(torch.float32, (1, 3, 17, 65), long=[130]):
        right("softmax", SOFTMAXES[name], smaller(x, dim), dim)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_infinities_and_nan(name, dtype):
    for columns in (200,) if dtype != torch.float32 else (40, 200):
        right("softmax", SOFTMAXES[name], spoilt(dtype, columns))


@pytest.mark.parametrize(("shape", "dim"), EMPTY)
@pytest.mark.parametrize("name", NAMES)
def test_nothing(name, shape, dim):
    right("softmax", SOFTMAXES[name], torch.empty(shape), dim)


@settings(deadline=None, max_examples=15)
@given(name=st.sampled_from(NAMES), drawn=tensors(longest=4))
def test_any_shape(name, drawn):
    right("softmax", SOFTMAXES[name], *drawn)


@pytest.mark.parametrize("name", NAMES)
def test_large_logits(name):
    for dtype in (torch.float32, torch.float64):
        x = normal(8, 100, dtype=dtype)
        x += torch.tensor([[1e4], [-1e4], [2e4], [-2e4], [1e30], [-1e30], [10_250.0], [-10_250.0]])
        x[7, 5] = -math.inf
        y = SOFTMAXES[name](x)
        right("softmax", SOFTMAXES[name], x)
        assert y[7, 5] == 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_first_and_second_order(name):
    x = normal(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: SOFTMAXES[name](x, 0), x)
    assert torch.autograd.gradgradcheck(lambda x: SOFTMAXES[name](x, -1), x)
