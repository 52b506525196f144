"""The PyTorch forms: against float64, under every invariance, and in the corners."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lab.core.softmax import (
    SOFTMAXES,
    exp2,
    log_softmax,
    logsumexp,
    normalizer,
    online,
    online_topk,
    safe_topk,
)
from lab.core.softmax.logarithms import (
    naive_log_softmax,
    naive_logsumexp,
    safe_log_softmax,
    safe_logsumexp,
)
from lab.core.softmax.registry import TRITON, implementations
from lab.core.softmax.topk import naive_topk
from lab.core.softmax.two_pass import pair, two_pass
from lab.core.trial import Refused

# Those of coarse exponentials are tested in test_exp2.py, and those for a GPU in test_triton.py.
ALL = sorted(SOFTMAXES.keys() - exp2.DEGREES.keys() - TRITON)
OPERATIONS = [name for name in ALL if not implementations("softmax")[name].is_kernel]
STABLE = [name for name in ALL if name != "naive"]
LOG_SOFTMAXES = [log_softmax, safe_log_softmax, naive_log_softmax]
LOGSUMEXPS = [logsumexp, safe_logsumexp, naive_logsumexp]
HALVES = [torch.float16, torch.bfloat16]


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(a, b, rtol=1e-12, atol=1e-300):
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol, equal_nan=True)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 127), (2, 9000), (7,), (2, 3, 4), (0, 5), (3, 0), ()])
def test_shapes(name, shape):
    x = normal(*shape)
    close(SOFTMAXES[name](x), torch.softmax(x, -1))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_any_dimension_of_any_layout(name, dim):
    softmax = SOFTMAXES[name]
    for x in (
        normal(5, 6, 7),
        normal(7, 6, 5).transpose(0, 2),
        normal(5, 6, 14)[..., ::2],
        normal(1, 6, 7).expand(5, 6, 7),
    ):
        before = x.clone()
        close(softmax(x, dim), torch.softmax(x, dim))
        close(softmax(x, dim=dim), torch.softmax(x, dim))
        assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ALL)
def test_halves(name, dtype):
    x = normal(4, 300, dtype=dtype)
    y = SOFTMAXES[name](x)
    assert y.dtype == dtype
    close(y.double(), torch.softmax(x.double(), -1), rtol=8 * torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.parametrize("name", STABLE)
def test_a_sum_that_float16_cannot_hold(name):
    y = SOFTMAXES[name](torch.zeros(1, 70_000, dtype=torch.float16))
    close(y.double(), torch.full_like(y, 1 / 70_000, dtype=torch.float64), rtol=1e-2)


@given(
    columns=st.integers(1, 40),
    block=st.integers(1, 45),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 9999),
)
def test_invariances_of_the_online_form(columns, block, shift, seed):
    x = normal(3, columns, seed=seed)
    y = online(x, block=block)
    close(y, torch.softmax(x, -1))
    close(y.sum(-1), torch.ones(3, dtype=torch.float64))
    close(online(x + shift, block=block), y, rtol=1e-10)
    order = torch.randperm(columns, generator=torch.Generator().manual_seed(seed))
    close(online(x[:, order], block=block), y[:, order])
    larger = x[:, :1] < x
    assert torch.equal(y[:, :1] < y, larger)


@pytest.mark.parametrize("name", STABLE)
def test_large_logits(name):
    x = normal(4, 9000) + torch.tensor([[1e4], [-1e4], [1e300], [-1e300]])
    close(SOFTMAXES[name](x), torch.softmax(x, -1))


@pytest.mark.parametrize("block", [1, 2, 3, 64])
def test_masked_elements_in_blocks(block):
    x = normal(5, 6)
    x[0, 0] = x[1, 3] = x[2, 5] = -math.inf
    x[3, :5] = -math.inf
    x[4] = -math.inf
    close(online(x, block=block), torch.softmax(x, -1))
    close(log_softmax(x, block=block), torch.log_softmax(x, -1))
    close(logsumexp(x, block=block), torch.logsumexp(x, -1))
    close(two_pass(x, block=block), torch.softmax(x, -1))
    m, d = normalizer(x, block=block)
    assert (d[4] == 0).all() and m.isfinite().all()


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("poison", [math.inf, math.nan])
def test_infinity_and_nan_spoil_their_row_only(name, poison):
    x = normal(3, 9000)
    x[1, 5000] = poison
    close(SOFTMAXES[name](x), torch.softmax(x, -1))


@given(x=st.floats(-10_000, 10_000))
def test_a_mantissa_and_an_exponent_make_an_exponential(x):
    p, n = pair(torch.tensor(x, dtype=torch.float64))
    assert n == n.round() and 0.7 < p < 1.42
    assert math.log(p) + n * math.log(2) == pytest.approx(x, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("logit", [-10_200.0, -10_260.0, -10_990.0, 10_990.0, 20_000.0, -20_000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_pass_near_and_beyond_its_limit(logit, dtype):
    x = torch.tensor([[logit, logit - 3, -math.inf], [0.5, 1.0, 2.0]], dtype=dtype)
    y = two_pass(x)
    close(y.double(), torch.softmax(x.double(), -1), rtol=1e-6)
    assert y[0, 2] == 0


@pytest.mark.parametrize("function", LOG_SOFTMAXES)
def test_log_softmax(function):
    for x in (normal(3, 9000), normal(1, 1), normal(2, 0)):
        close(function(x), torch.log_softmax(x, -1), atol=1e-14)
    close(function(normal(5, 6, 7), 1), torch.log_softmax(normal(5, 6, 7), 1))


@pytest.mark.parametrize("function", LOGSUMEXPS)
def test_logsumexp(function):
    for x in (normal(3, 9000), normal(1, 1), normal(6), normal()):
        close(function(x), torch.logsumexp(x, -1), atol=1e-14)
    close(function(normal(5, 6, 7), 1), torch.logsumexp(normal(5, 6, 7), 1))


def test_logsumexp_of_nothing_and_of_infinity():
    assert logsumexp(torch.empty(2, 0)).tolist() == [-math.inf] * 2
    x = torch.tensor([[math.inf, 1.0], [-math.inf, -math.inf]])
    for function in LOGSUMEXPS:
        assert function(x).tolist() == [math.inf, -math.inf]


def test_log_softmax_keeps_its_digits_at_large_logits():
    x = (normal(2, 50, dtype=torch.float32) + 1e4).requires_grad_(False)
    close(log_softmax(x).double(), torch.log_softmax(x.double(), -1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("output", ["softmax", "log-softmax", "logsumexp"])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dim", [0, -1])
def test_gradients_of_first_and_second_order(output, name, dim):
    if name not in implementations(output):
        pytest.skip("softmax only")
    function = implementations(output)[name].function
    x = normal(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, dim=dim), x)
    assert torch.autograd.gradgradcheck(lambda x: function(x, dim=dim), x)


@pytest.mark.parametrize("block", [1, 2, 5])
def test_gradients_through_blocks(block):
    x = normal(2, 5).requires_grad_()
    for function in (online, log_softmax, logsumexp, two_pass):
        assert torch.autograd.gradcheck(lambda x, function=function: function(x, block=block), x)
    assert torch.autograd.gradcheck(lambda x: online_topk(x, 3, block=block)[0], x)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_in_halves_have_the_dtype_of_x(name, dtype):
    x = normal(2, 5, dtype=dtype).requires_grad_()
    y = SOFTMAXES[name](x)
    y[:, 0].sum().backward()
    assert y.dtype == x.grad.dtype == dtype


@given(columns=st.integers(1, 60), block=st.integers(1, 70), data=st.data())
def test_online_top_k(columns, block, data):
    k = data.draw(st.integers(1, columns))
    x = normal(3, columns, seed=columns)
    v, z = online_topk(x, k, block=block)
    expected = torch.topk(torch.softmax(x, -1), k)
    close(v, expected.values)
    assert torch.equal(z, expected.indices)


@pytest.mark.parametrize("function", [online_topk, safe_topk, naive_topk])
def test_top_k_over_another_dimension(function):
    x = normal(6, 4, 3)
    v, z = function(x, 2, 0)
    expected = torch.topk(torch.softmax(x, 0), 2, 0)
    close(v, expected.values)
    assert torch.equal(z, expected.indices)
    empty, columns = function(torch.empty(0, 5), 2)
    assert empty.shape == columns.shape == (0, 2)


def test_top_k_of_more_than_there_are():
    with pytest.raises(ValueError, match="k = 4 of only 3 columns"):
        online_topk(normal(2, 3), 4)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64], ids=str)
@pytest.mark.parametrize("output", ["softmax", "log-softmax", "logsumexp", "top-k"])
def test_what_is_no_floating_point_is_refused_and_never_rounded(output, dtype):
    x = torch.tensor([[1, 0, 1, 1]]).to(dtype)
    for name, implementation in implementations(output).items():
        if name in TRITON or name == "torch":  # wants a GPU; PyTorch's own, which has its own words
            continue
        with pytest.raises(Refused, match=f"takes floating point, not {str(dtype).removeprefix('torch.')}"):
            implementation.function(x, 2) if output == "top-k" else implementation.function(x)
