"""Every Numba kernel with every output on the same inputs; the Triton ones see them in interpreted_triton.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

numba = pytest.importorskip("numba")

from lab.core.softmax.numba.columns import SHARED  # noqa: E402
from lab.core.softmax.numba.tensors import kernels  # noqa: E402
from lab.core.softmax.registry import NUMBA, implementations  # noqa: E402

from .corners import DTYPES, EMPTY, inputs, normal, right, spoilt, tensors  # noqa: E402

OUTPUTS = ("softmax", "log-softmax", "logsumexp", "top-k")
KERNELS = [(output, name) for output in OUTPUTS for name in sorted(NUMBA & implementations(output).keys())]
every_kernel = pytest.mark.parametrize(("output", "name"), KERNELS)


def function(output, name):
    return implementations(output)[name].function


def test_none_is_forgotten():
    assert {*KERNELS} == kernels().keys()
    assert len(SHARED) == 3


@pytest.mark.parametrize("dtype", DTYPES)
@every_kernel
def test_lengths_places_and_layouts(output, name, dtype):
    for x, dim in inputs(dtype, (1, 2, 3, 17, 1000, 4097), long=[(1 << 18) + 1]):
        right(output, function(output, name), x, dim)


@pytest.mark.parametrize("dtype", DTYPES)
@every_kernel
def test_infinities_and_nan(output, name, dtype):
    for columns in (40, 700, 4097):
        right(output, function(output, name), spoilt(dtype, columns))


@pytest.mark.parametrize(("shape", "dim"), EMPTY)
@every_kernel
def test_nothing(output, name, shape, dim):
    for dtype in DTYPES:
        right(output, function(output, name), torch.empty(shape, dtype=dtype), dim)


@settings(deadline=None)
@given(kernel=st.sampled_from(KERNELS), drawn=tensors())
def test_any_shape(kernel, drawn):
    output, name = kernel
    right(output, function(output, name), *drawn)


@pytest.mark.parametrize("dtype", DTYPES)
@every_kernel
def test_on_several_threads(output, name, dtype, monkeypatch):
    for name_of_limit in ("WORTH_A_TEAM", "WORTH_WAKING", "A_SHARE"):
        monkeypatch.setattr(f"lab.core.softmax.numba.tensors.{name_of_limit}", 100)
    torch.set_num_threads(3)
    try:
        for shape in ((5000,), (1, 701), (2, 4097), (7, 1000)):  # fewer rows than threads, and more
            right(output, function(output, name), normal(*shape, dtype=dtype))
        for row in spoilt(dtype, 2000):
            right(output, function(output, name), row)
    finally:
        torch.set_num_threads(1)
