"""The Numba kernels: their numbers, bit by bit; softmax of every shape, layout and dtype; threads, gradients, cache."""

import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

numba = pytest.importorskip("numba")

from lab.core.measure.correctness import compare  # noqa: E402
from lab.core.softmax import SOFTMAXES, operations  # noqa: E402
from lab.core.softmax.numba import bits, exponential, rows, tensors  # noqa: E402
from lab.core.softmax.numba.backend import online_topk  # noqa: E402
from lab.core.softmax.properties import exponential_error  # noqa: E402
from lab.core.softmax.registry import NUMBA, implementations  # noqa: E402
from lab.core.trial import Refused  # noqa: E402

from .corners import TRUTH  # noqa: E402

NAMES = sorted(NUMBA)
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
HALVES = DTYPES[:2]


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def right(y, x, dim=-1):
    """By the rule of DESIGN and of the whole project, and at most twice as far off as PyTorch's own kernel."""
    truth = torch.softmax(x.double(), dim)
    compare("here", y, operations.safe(x, dim), truth)
    return compare("beside torch", y, torch.softmax(x, dim), truth)


@numba.njit
def _widened(numbers, result):
    for j in range(numbers.size):
        result[j] = bits.load(numbers, j)


@numba.njit
def _narrowed(numbers, result):
    for j in range(numbers.size):
        bits.store(result, j, numbers[j])


@numba.njit
def _widened_by_integers(numbers, result):
    for j in range(numbers.size):
        result[j] = bits.from_float16(numbers[j])


@numba.njit
def _narrowed_by_integers(numbers, result):
    for j in range(numbers.size):
        result[j] = bits.to_float16(numbers[j])


HALVES_WIDENED = [
    (torch.bfloat16, torch.uint16, _widened),
    (torch.float16, torch.int16, _widened),
    (torch.float16, torch.int16, _widened_by_integers),  # where the processor cannot
]
HALVES_NARROWED = [
    (torch.bfloat16, torch.uint16, _narrowed),
    (torch.float16, torch.int16, _narrowed),
    (torch.float16, torch.int16, _narrowed_by_integers),
]


@pytest.mark.parametrize(("dtype", "integers", "widen"), HALVES_WIDENED)
def test_every_half_is_widened_exactly(dtype, integers, widen):
    halves = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(dtype)
    found = torch.empty(1 << 16)
    widen(halves.view(integers).numpy(), found.numpy())
    torch.testing.assert_close(found, halves.float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("dtype", "integers", "narrow"), HALVES_NARROWED)
def test_halves_are_rounded_to_the_nearest_even(dtype, integers, narrow):
    every = torch.arange(1 << 15, dtype=torch.int32).to(torch.uint16).view(dtype).float()
    every = every[every.isfinite()]
    ties = (every[1:] + every[:-1]) / 2
    up, down = ties.nextafter(torch.tensor(math.inf)), ties.nextafter(torch.tensor(0.0))
    x = torch.cat([every, ties, up, down, torch.rand(100_000), torch.tensor([1e30, math.inf, math.nan])])
    if dtype == torch.float16:
        x = torch.cat([x, torch.tensor([65_519.0, 65_520.0, 1e5])])
    x = torch.cat([x, -x])
    found = torch.empty(len(x), dtype=dtype)
    narrow(x.numpy(), found.view(integers).numpy())
    torch.testing.assert_close(found, x.to(dtype), rtol=0, atol=0, equal_nan=True)


@pytest.mark.skipif(not bits.converts_float16(), reason="this processor has no instruction for it")
def test_float16_is_converted_by_the_processor():
    kernel = SOFTMAXES["safe-numba"]
    kernel(torch.zeros(1, 1, dtype=torch.float16))
    assert bits._from_float16 is bits.widened
    code = "".join(_narrowed.inspect_asm(signature) for signature in _narrowed.signatures)
    if "vzeroupper" in code:
        assert "vcvtps2ph" in code


def test_the_exponential_is_as_exact_as_it_says():
    assert exponential_error(mantissas=1 << 13) <= exponential.MAX_RELATIVE_ERROR["float32"]


@pytest.mark.slow
def test_the_exponential_of_every_float32_there_is():
    assert exponential_error(mantissas=1 << 23) <= exponential.MAX_RELATIVE_ERROR["float32"]


def test_the_exponential_in_float64():
    np = pytest.importorskip("numpy")
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("nothing here is more exact than float64")
    a = -torch.cat(
        [torch.rand(20_000, dtype=torch.float64) * 708, torch.logspace(-300, 2, 20_000, dtype=torch.float64)]
    )
    found = torch.empty_like(a)
    exponential.exponentials_of(a.numpy(), found.numpy())
    truth = np.exp(a.numpy().astype(np.longdouble))
    assert np.abs(found.numpy() / truth - 1).max() <= exponential.MAX_RELATIVE_ERROR["float64"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_exponential_of_what_is_not_finite(dtype):
    # NaNs of both signs and with other bits in them
    odd = (
        torch.tensor([0x7FC00001, -1, 0x7F800001, -0x3FFFFF], dtype=torch.int32).view(torch.float32).to(dtype)
    )
    a = torch.cat([torch.tensor([0.0, -0.0, -math.inf, -1e30, -800.0], dtype=dtype), odd])
    found = torch.empty_like(a)
    exponential.exponentials_of(a.numpy(), found.numpy())
    assert found[:5].tolist() == [1, 1, 0, 0, 0]
    assert found[5:].isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_lengths_shorter_and_longer_than_a_block(name, dtype):
    for columns in (1, 2, 7, 31, 64, 127, 513, rows.BLOCK, rows.BLOCK + 1, 3 * rows.BLOCK - 5):
        x = normal(3, columns, seed=columns).mul(3).to(dtype)
        right(SOFTMAXES[name](x), x)


@pytest.mark.parametrize("name", NAMES)
def test_rows_longer_than_a_cache(name):
    x = normal(2, 300_001, dtype=torch.float32)
    right(SOFTMAXES[name](x), x)


@pytest.mark.parametrize("name", NAMES)
def test_error_beside_torch(name):
    """The largest error of many rows: at most twice that of torch.softmax."""
    for columns, scale in ((1000, 1), (1000, 5), (8192, 1)):
        x = normal(256, columns, seed=1).mul(scale).float()
        assert right(SOFTMAXES[name](x), x)["error_ratio"] <= 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (7,), (0, 5), (3, 0), (2, 3, 4, 5), (1, 1, 1)])
def test_shapes(name, shape):
    x = normal(*shape)
    y = SOFTMAXES[name](x)
    assert y.shape == x.shape
    torch.testing.assert_close(y, torch.softmax(x, -1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_layouts(name, dtype):
    wide = normal(4, 5, 6, 40, dtype=dtype)
    layouts = [
        wide[:, ::2, 1:, :33],
        wide.transpose(0, 2),
        wide[..., ::2],
        wide[:1].expand(3, -1, -1, -1),
        wide.permute(3, 0, 1, 2),
    ]
    for x in layouts:
        before = x.clone()
        for dim in (-1, 0, 1):
            right(SOFTMAXES[name](x, dim), x, dim)
        assert torch.equal(x, before)


def test_rows_with_gaps_between_them_are_not_copied():
    x = torch.zeros(4, 5, 6, 40)[:, ::2, 1:, :33]
    numbers, starts, columns = tensors.rows_of(x)
    assert numbers is x
    assert len(starts) == 4 * 3 * 5 and columns == 33
    gaps = torch.zeros(4, 10)[:, ::2]
    assert tensors.rows_of(gaps)[0].data_ptr() != gaps.data_ptr()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_finite(name, dtype):
    x = normal(8, 5000, dtype=dtype)
    x[0, 4999] = -math.inf
    x[1, :4990] = -math.inf
    x[2] = -math.inf
    x[3, 17] = math.inf
    x[4, 4500] = math.nan
    x[5, 3] = -math.nan
    x[6, 0], x[6, 4999] = math.inf, -math.inf
    y = SOFTMAXES[name](x)
    right(y, x)
    assert y[2:7].isnan().all()
    assert (y[1, :4990] == 0).all() and y[0, 4999] == 0


@pytest.mark.parametrize("name", NAMES)
def test_logits_beyond_what_a_mantissa_and_an_exponent_take(name):
    x = normal(6, 100, dtype=torch.float32)
    x += torch.tensor([[1e4], [-1e4], [2e4], [-2e4], [1e30], [-1e30]])
    x[0, ::2] -= 3e4
    right(SOFTMAXES[name](x), x)
    z = normal(2, 100) + torch.tensor([[1e300], [-1e300]])
    right(SOFTMAXES[name](z), z)


@pytest.mark.parametrize("name", NAMES)
def test_masked_beside_logits_near_the_limit_is_exactly_zero(name):
    for logit in (-10_200.0, -10_260.0, -10_500.0, -10_990.0):
        for dtype in (torch.float32, torch.float64):
            x = torch.tensor([[logit, -math.inf, -1e30]], dtype=dtype)
            assert SOFTMAXES[name](x).tolist() == [[1, 0, 0]]


@settings(deadline=None)
@given(
    columns=st.integers(1, 600),
    shift=st.floats(-50, 50),
    seed=st.integers(0, 9999),
    name=st.sampled_from(NAMES),
)
def test_invariances(columns, shift, seed, name):
    softmax = SOFTMAXES[name]
    x = normal(3, columns, seed=seed)
    y = softmax(x)
    torch.testing.assert_close(y, torch.softmax(x, -1), rtol=1e-13, atol=0)
    torch.testing.assert_close(softmax(x + shift), y, rtol=1e-12, atol=0)
    order = torch.randperm(columns, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(softmax(x[:, order]), y[:, order], rtol=1e-13, atol=0)
    assert torch.equal(softmax(x[1:2]), y[1:2])  # a row knows nothing of the others


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim", [0, -1])
def test_gradients_of_first_and_second_order(name, dim):
    x = normal(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: SOFTMAXES[name](x, dim), x)
    assert torch.autograd.gradgradcheck(lambda x: SOFTMAXES[name](x, dim), x)


LOGARITHMS = [
    (output, name) for output in ("log-softmax", "logsumexp") for name in ("safe-numba", "online-numba")
]


@pytest.mark.parametrize(("output", "name"), LOGARITHMS)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gradients_of_logarithms(output, name, dim):
    function = implementations(output)[name].function
    x = normal(3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, dim), x)
    assert torch.autograd.gradgradcheck(lambda x: function(x, dim), x)
    number = normal().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, -1), number)
    assert not function(x.detach(), dim).requires_grad


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("output", "name"), LOGARITHMS)
def test_gradients_of_logarithms_in_halves(output, name, dtype):
    x = normal(4, 300, dtype=dtype).requires_grad_()
    y = implementations(output)[name].function(x, -1)
    g = normal(*y.shape, dtype=dtype, seed=1)
    (found,) = torch.autograd.grad(y, x, g)
    (standard,) = torch.autograd.grad(TRUTH[output](x, -1), x, g)
    wide = x.detach().double().requires_grad_()
    (truth,) = torch.autograd.grad(TRUTH[output](wide, -1), wide, g.double())
    compare("beside torch", found, standard, truth)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gradients_from_a_gradient_with_gaps(name, dim):
    g = normal(9, 17, 6, seed=1).permute(2, 1, 0)[::2, :, ::3]
    x = normal(3, 17, 3).requires_grad_()
    (found,) = torch.autograd.grad(SOFTMAXES[name](x, dim), x, g)
    (expected,) = torch.autograd.grad(torch.softmax(x, dim), x, g)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_without_gradients_nothing_is_kept():
    x = normal(3, 5).requires_grad_()
    with torch.no_grad():
        y = SOFTMAXES["safe-numba"](x)
    assert not y.requires_grad
    with torch.inference_mode():
        assert torch.equal(SOFTMAXES["safe-numba"](x), y)


@pytest.mark.parametrize("dtype", HALVES)
def test_gradients_in_halves(dtype):
    x = normal(4, 300, dtype=dtype).requires_grad_()
    g = normal(4, 300, dtype=dtype, seed=1)
    (found,) = torch.autograd.grad(SOFTMAXES["online-rescaled-numba"](x), x, g)
    (expected,) = torch.autograd.grad(torch.softmax(x, -1), x, g)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_threads_share_the_rows_and_change_nothing(name, monkeypatch):
    x = normal(7, 4000, dtype=torch.float32)
    alone = SOFTMAXES[name](x)
    for limit in ("WORTH_A_TEAM", "WORTH_WAKING", "A_SHARE"):
        monkeypatch.setattr(tensors, limit, 1000)
    teams = []

    def team(threads, *, wake):
        teams.append(threads)
        return make(threads, wake=wake)

    make = tensors.team
    monkeypatch.setattr(tensors, "team", team)
    torch.set_num_threads(3)
    try:
        together = SOFTMAXES[name](x)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(alone, together)
    assert teams == [3]


@settings(deadline=None)  # the first call compiles
@given(columns=st.integers(1, 1500), data=st.data())
def test_top_k(columns, data):
    k = data.draw(st.integers(1, min(columns, 20)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    x = normal(3, columns, seed=columns, dtype=dtype)
    v, z = online_topk(x, k)
    expected = torch.topk(torch.softmax(x, -1), k)
    torch.testing.assert_close(v, expected.values)
    torch.testing.assert_close(torch.softmax(x, -1).gather(-1, z), v)
    assert all(len(set(row)) == k for row in z.tolist())


@pytest.mark.parametrize("dtype", DTYPES)
def test_top_k_in_the_corners(dtype):
    x = normal(5, 2000, dtype=dtype)
    x[0] = 0.5  # all alike
    x[1, 3:] = -math.inf  # fewer than k
    x[2] = x[2].sort().values  # every block beats the one before
    x[3] = -math.inf
    x[4, 1234] = math.nan
    v, z = online_topk(x, 5)
    expected = torch.topk(torch.softmax(x.double(), -1), 5).values
    torch.testing.assert_close(
        v.double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-6, equal_nan=True
    )
    assert all(len(set(row)) == 5 and min(row) >= 0 and max(row) < 2000 for row in z.tolist())


def test_top_k_elsewhere():
    x = normal(40, 3, 4)
    v, z = online_topk(x.transpose(1, 2)[::2], 2, 0)
    expected = torch.topk(torch.softmax(x.transpose(1, 2)[::2], 0), 2, 0)
    torch.testing.assert_close(v, expected.values)
    assert torch.equal(z, expected.indices)
    assert online_topk(torch.empty(0, 5), 2)[0].shape == (0, 2)
    with pytest.raises(ValueError, match="k = 4 of only 3 columns"):
        online_topk(normal(2, 3), 4)
    y = normal(3, 50).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: online_topk(y, 3)[0], y)


def test_refusals():
    with pytest.raises(Refused, match="safe-numba works on the CPU, not on meta"):
        SOFTMAXES["safe-numba"](torch.zeros(2, 3, device="meta"))
    with pytest.raises(Refused, match="takes floating point, not int64"):
        SOFTMAXES["safe-numba"](torch.zeros(2, 3, dtype=torch.int64))


def test_without_numba_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch; from lab.core.softmax import SOFTMAXES\n"
        "try: SOFTMAXES['safe-numba'](torch.zeros(2, 3))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Refused softmax safe-numba needs Numba: pip install numba"


def test_what_was_compiled_is_loaded_by_the_next_process(tmp_path):
    code = (
        "import numpy; from lab.core.softmax.numba.exponential import exponentials_of as kernel\n"
        "kernel(numpy.zeros(3), numpy.zeros(3))\n"
        "print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    for expected in ("0 1", "1 0"):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment | {"LAB_CACHE": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == expected
    assert list((tmp_path / "numba").rglob("*.nbi"))
