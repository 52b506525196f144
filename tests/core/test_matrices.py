"""Our matrix product against float64: any size, any strides, any number of threads."""

import pytest
import torch

pytest.importorskip("numba")

from lab.core.compiled.matrices import multiplied


def numbers(rows, columns, seed):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def assert_product(a, b, found):
    """Each sum within the error bound of a sum of K products in any order, n·u·|A|·|B| (Higham, 2002, eq. 3.13)."""
    wanted = a.double() @ b.double()
    bound = (a.shape[1] + 1) * 2**-24 * (a.double().abs() @ b.double().abs())
    assert ((found.double() - wanted).abs() <= bound).all()


@pytest.mark.parametrize("M", [1, 3, 6, 17, 97, 200])
@pytest.mark.parametrize("N", [1, 16, 18, 67, 128])
@pytest.mark.parametrize("K", [1, 7, 64, 389, 800])
def test_any_size(M, N, K):
    a, b = numbers(M, K, 0), numbers(K, N, 1)
    assert_product(a, b, multiplied(a, b))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("M, N, K", [(65, 48, 40), (130, 50, 401), (5, 100, 16), (200, 3, 9)])
def test_any_strides_on_any_number_of_threads(M, N, K, threads):
    """Turned, and parts of wider matrices, into rows of a wider one, of which the rest stays as it is."""
    a, b = numbers(K, M + 5, 0)[:, 2 : M + 2].t(), numbers(2 * N, 2 * K, 1)[::2, ::2].t()
    out = torch.full((M, N + 3), 7.0)
    found = multiplied(a, b, out[:, 1 : N + 1], threads)
    assert_product(a, b, found)
    assert (out[:, 0] == 7).all() and (out[:, N + 1 :] == 7).all()
    assert torch.equal(found, multiplied(a, b))
    assert_product(
        a.contiguous(), b.contiguous(), multiplied(a.contiguous(), b.contiguous(), threads=threads)
    )


def test_what_is_not_finite_stays_in_its_rows_and_columns():
    a, b = numbers(20, 33, 0), numbers(33, 21, 1)
    a[3, 5], a[19, 0], b[7, 20] = float("nan"), float("inf"), float("inf")
    found, wanted = multiplied(a, b), a @ b
    assert torch.equal(found.isnan(), wanted.isnan()) and torch.equal(found.isinf(), wanted.isinf())


def test_other_tensors_are_refused():
    a = numbers(4, 4, 0)
    for other in (a.double(), a.half(), a.int(), a[0]):
        with pytest.raises(ValueError, match="float32 matrices on the CPU"):
            multiplied(a, other)
    for b, out in ((numbers(3, 4, 0), None), (a, numbers(4, 3, 0)), (a, a.clone().t())):
        with pytest.raises(ValueError, match="does not give"):
            multiplied(a, b, out)


def test_a_sum_of_nothing_is_zero():
    out = torch.full((2, 3), torch.nan)
    assert multiplied(torch.ones(2, 0), torch.ones(0, 3), out, 1) is out and not out.any()
