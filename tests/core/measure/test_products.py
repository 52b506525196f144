from itertools import product

import pytest
import torch

from lab.core.measure.products import DTYPES, default_library, libraries

LIBRARIES = [(dtype, name) for dtype in DTYPES for name in libraries(dtype)]
SHAPES = [(1, 1, 1), (1, 64, 3), (3, 1, 17), (17, 3, 5), (33, 65, 129)]


def stored(rows, columns, how, dtype):
    """(rows, columns) of random numbers: contiguous, transposed, a slice of something wider, or every other row and column."""
    make = torch.Generator().manual_seed(rows * 100 + columns)

    def numbers(*shape):
        return torch.randn(*shape, generator=make, dtype=torch.float64).to(dtype)

    return {
        "contiguous": lambda: numbers(rows, columns),
        "transposed": lambda: numbers(columns, rows).t(),
        "slice": lambda: numbers(rows + 2, columns + 3)[1 : rows + 1, 2 : columns + 2],
        "every other": lambda: numbers(2 * rows, 2 * columns)[::2, ::2],
    }[how]()


@pytest.mark.parametrize("with_memory", [False, True])
@pytest.mark.parametrize(("dtype", "name"), LIBRARIES, ids=str)
def test_every_library_multiplies_whatever_the_strides(dtype, name, with_memory):
    layouts = ("contiguous", "transposed", "slice", "every other")
    for (m, k, n), of_a, of_b in product(SHAPES, layouts, layouts):
        a, b = stored(m, k, of_a, dtype), stored(k, n, of_b, dtype)
        out = torch.full((m, n), torch.nan, dtype=dtype) if with_memory else None
        found = libraries(dtype)[name].multiply(a, b, out)
        assert found.shape == (m, n) and found.dtype == dtype
        # Each of k products and sums may err by half a unit in the last place of the largest partial sum.
        bound = (k + 1) * torch.finfo(dtype).eps * (a.double().abs() @ b.double().abs())
        assert ((found.double() - a.double() @ b.double()).abs() <= bound).all(), (m, k, n, of_a, of_b)


@pytest.mark.parametrize(("dtype", "name"), LIBRARIES, ids=str)
def test_products_of_nothing(dtype, name):
    multiply = libraries(dtype)[name].multiply
    for m, k, n in [(0, 3, 2), (3, 0, 2), (3, 2, 0)]:
        found = multiply(torch.ones(m, k, dtype=dtype), torch.ones(k, n, dtype=dtype), None)
        assert found.shape == (m, n) and not found.any()


@pytest.mark.parametrize(("dtype", "name"), LIBRARIES, ids=str)
def test_infinities_and_nan_come_through(dtype, name):
    a, b = torch.ones(5, 20, dtype=dtype), torch.eye(20, 30, dtype=dtype)
    a[0, 3], a[1, 4] = torch.inf, torch.nan
    found = libraries(dtype)[name].multiply(a, b, None)
    true = a @ b
    assert torch.equal(found.isnan(), true.isnan()) and found[2:].isfinite().all()


def test_the_default_comes_first_and_has_a_name():
    for dtype in DTYPES:
        assert next(iter(libraries(dtype))) == default_library(dtype)
    assert "onednn" in libraries(torch.float32) or not torch.backends.mkldnn.is_available()
