"""The alternatives to softmax: against float64, against other solvers, their gradients and what each of them promises."""

import math
from dataclasses import replace

import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.measure.correctness import compare
from lab.core.softmax.alternatives import (
    ALTERNATIVES,
    entmax15,
    sigmoid,
    sink,
    softcapped,
    softmax1,
    softpick,
    sparsemax,
    ssmax,
)
from lab.core.softmax.alternatives import trial as alternatives_trial
from lab.core.softmax.alternatives.trial import Params, case
from lab.core.trial import Refused, Wrong

from .test_trial import Context

NAMES = [name for name in ALTERNATIVES if name != "softmax"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(a, b, rtol=1e-12, atol=1e-15):
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_against_the_definition_in_float64(name, dtype):
    f = ALTERNATIVES[name]
    for scale in (0.1, 1, 10):
        x = (normal(20, 300) * scale).to(dtype)
        compare(f"{scale}", f(x), f.plain(x, -1), f.truth(x.double(), -1))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dimensions(name):
    f = ALTERNATIVES[name]
    for shape in ((5, 6, 7), (1, 1), (7,), ()):
        x = normal(*shape)
        for dim in {-1, 0} if shape else {-1}:
            y = f(x, dim)
            assert y.shape == x.shape and y.dtype == x.dtype
            if shape:
                close(y, f.truth(x, dim))
    for shape in ((0, 5), (3, 0)):
        assert f(normal(*shape)).shape == shape


@pytest.mark.parametrize("name", NAMES)
def test_a_masked_entry_gets_nothing_and_changes_nothing(name):
    x = normal(4, 9)
    padded = torch.cat([x, torch.full((4, 3), -math.inf, dtype=x.dtype)], -1)
    if name in ("ssmax", "sigmoid"):  # whose n is the size of the row
        scale = math.log(9) / math.log(12) if name == "ssmax" else 1
        shift = math.log(12 / 9) if name == "sigmoid" else 0
        padded = padded / (1 / scale) + shift
    y = ALTERNATIVES[name](padded)
    assert (y[:, 9:] == 0).all()
    close(y[:, :9], ALTERNATIVES[name](x))


@pytest.mark.parametrize("name", NAMES)
def test_infinity_and_nan_spoil_their_own_row_only(name):
    x = normal(3, 50)
    for poison in (math.inf, math.nan):
        x[1, 7] = poison
        y = ALTERNATIVES[name](x)
        assert y[[0, 2]].isfinite().all()
        if name not in ("sigmoid", "softcapped") or math.isnan(poison):
            assert y[1, 7].isnan()
    nothing = ALTERNATIVES[name](torch.full((2, 5), -math.inf))
    expected = 0.0 if name in ("sink", "softmax1", "sigmoid", "softpick") else math.nan
    close(nothing, torch.full((2, 5), expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_large_logits(name, dtype):
    x = normal(4, 60).to(dtype) + torch.tensor([[1e4], [-1e4], [300.0], [-300.0]], dtype=dtype)
    f = ALTERNATIVES[name]
    compare("large", f(x), f.plain(x, -1), f.truth(x.double(), -1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim", [0, -1])
def test_gradients_of_first_and_second_order(name, dim):
    x = normal(3, 6, seed=2).requires_grad_()
    f = ALTERNATIVES[name]
    assert torch.autograd.gradcheck(lambda x: f(x, dim), x)
    assert torch.autograd.gradgradcheck(lambda x: f(x, dim), x)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_at_masked_entries_and_empty_rows(name):
    x = normal(3, 6)
    x[0, 2] = -math.inf
    if name in ("sink", "softmax1", "sigmoid", "softpick"):
        x[1] = -math.inf
    x.requires_grad_()
    (g,) = torch.autograd.grad((ALTERNATIVES[name](x) * normal(3, 6, seed=1)).sum(), x)
    assert g.isfinite().all()
    assert g[0, 2] == 0


@pytest.mark.parametrize("function", [sink, ssmax])
def test_the_learned_number_has_a_gradient(function):
    x, s = normal(2, 3, 5).requires_grad_(), normal(3, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, s: function(x, -1, s=s), (x, s))
    assert torch.autograd.gradgradcheck(lambda x, s: function(x, -1, s=s), (x, s))


@given(columns=st.integers(1, 30), s=st.floats(-40, 40), seed=st.integers(0, 999))
def test_a_sink_is_a_logit_appended_and_dropped(columns, s, seed):
    x = normal(3, columns, seed=seed)
    appended = torch.cat([x, torch.full((3, 1), s, dtype=x.dtype)], -1)
    close(sink(x, s=s), torch.softmax(appended, -1)[:, :-1])
    close(softmax1(x), sink(x, s=0.0))


def test_a_sink_above_all_logits_does_not_overflow():
    y = sink(torch.zeros(2, 3), s=500.0)
    assert y.isfinite().all() and (y < 1e-30).all()


def quadratic_program(x):
    """min ‖p − x‖² over the simplex, by a solver that knows nothing of sorting."""
    n = len(x)
    found = scipy.optimize.minimize(
        lambda p: ((p - x) ** 2).sum(), [1 / n] * n, jac=lambda p: 2 * (p - x), method="SLSQP",
        bounds=[(0, None)] * n, constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": lambda p: 0 * p + 1},
        options={"ftol": 1e-16, "maxiter": 500},
    )  # fmt: skip
    return torch.from_numpy(found.x)


@pytest.mark.parametrize("seed", range(8))
def test_sparsemax_solves_the_quadratic_program(seed):
    x = normal(9, seed=seed)
    close(sparsemax(x), quadratic_program(x.numpy()), rtol=0, atol=1e-6)


@settings(deadline=None)
@given(columns=st.integers(1, 40), scale=st.sampled_from([0.01, 1.0, 30.0]), seed=st.integers(0, 999))
def test_projections(columns, scale, seed):
    x = normal(3, columns, seed=seed) * scale
    for f in (sparsemax, entmax15):
        p = f(x)
        close(p.sum(-1), torch.ones(3, dtype=x.dtype))
        assert (p >= 0).all()
        close(f(x + 5), p, atol=1e-12)
        close(f(p.new_tensor(x.flip(-1).tolist())), p.flip(-1))
    # Optimality: on the support (α − 1)·x − p^(α − 1) is one number τ, and elsewhere (α − 1)·x is no larger.
    for f, alpha in ((sparsemax, 2.0), (entmax15, 1.5)):
        p = f(x)
        excess = (alpha - 1) * x - p ** (alpha - 1)
        tau = excess.where(p > 0, -math.inf).amax(-1, keepdim=True)
        close(excess.where(p > 0, tau), tau.expand_as(x), rtol=0, atol=1e-9 * max(1, scale))
        assert (((alpha - 1) * x).where(p == 0, -math.inf) <= tau + 1e-9).all()


def test_sparsemax_of_equal_logits_and_of_one_far_above():
    assert sparsemax(torch.zeros(1, 4)).tolist() == [[0.25] * 4]
    assert sparsemax(torch.tensor([[3.0, 1.0, 0.0]])).tolist() == [[1, 0, 0]]
    assert entmax15(torch.tensor([[3.0, 0.5, 0.0]])).tolist() == [[1, 0, 0]]


def test_support_grows_from_sparsemax_to_entmax_to_softmax():
    x = normal(20, 200)
    counts = [(ALTERNATIVES[name](x) > 0).sum() for name in ("sparsemax", "entmax15", "softmax")]
    assert counts[0] < counts[1] < counts[2] == x.numel()


@pytest.mark.parametrize(
    ("n", "of_softmax", "of_ssmax"),
    [
        (10, 0.943, 0.940),
        (100, 0.600, 0.995),
        (1000, 0.129, 0.9996),
        (10_000, 0.0146, 1),
        (100_000, 0.0015, 1),
    ],
)
def test_the_table_of_scalable_softmax(n, of_softmax, of_ssmax):
    x = torch.full((n,), -2.0, dtype=torch.float64)
    x[0] = 3
    assert torch.softmax(x, -1)[0] == pytest.approx(of_softmax, rel=0.02)
    assert ssmax(x)[0] == pytest.approx(of_ssmax, abs=6e-4)


def test_a_soft_cap_bounds_ratios():
    x = torch.tensor([[-1e6, 0.0, 1e6]], dtype=torch.float64)
    for cap in (5.0, 15.0, 50.0):
        y = softcapped(x, cap=cap)
        assert (y.max() / y.min()).log() == pytest.approx(2 * cap)


def test_sigmoid_looks_at_one_logit_at_a_time():
    x = normal(3, 8)
    y = sigmoid(x)
    x[0, 3] += 1
    assert ((sigmoid(x) != y).nonzero() == torch.tensor([[0, 3]])).all()
    assert sigmoid(torch.zeros(1, 1000, dtype=torch.float64)).sum() == pytest.approx(1000 / 1001)


def test_softpick_gives_exactly_nothing_to_what_is_not_above_zero():
    x = normal(10, 100)
    y = softpick(x)
    assert torch.equal(y == 0, x <= 0)
    assert (y.sum(-1) < 1).all()
    assert (softpick(-x.abs()) == 0).all()
    assert (softpick(torch.zeros(2, 3)) == 0).all()
    close(softpick(x.abs() + 1e-3).sum(-1), torch.ones(10, dtype=x.dtype), atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", ALTERNATIVES)
def test_every_one_passes_its_trial(tmp_path, name, dtype):
    metrics = case(Params(rows=9, columns=200, dtype=dtype, implementation=name), Context(tmp_path)).check()
    assert metrics["error"] <= metrics["error_allowed"]
    assert metrics["grad_error"] < 8 * torch.finfo(getattr(torch, dtype)).eps
    assert (metrics["zeros"] > 0.3) == (name in ("sparsemax", "entmax15", "softpick"))
    assert (metrics["reductions"] == 0) == (name == "sigmoid")
    assert metrics.get("of_nothing") == (0.0 if name in ("sink", "softmax1", "sigmoid", "softpick") else None)


def test_ones_own_is_held_to_what_it_says_it_computes(tmp_path):
    context = Context(tmp_path)
    (tmp_path / "mine.py").write_text("import torch\ndef f(x, dim=-1): return torch.softmax(x, dim)\n")
    params = Params(rows=9, columns=200, implementation="./mine.py:f", computes="softmax")
    assert case(params, context).check()["error_ratio"] <= 2
    with pytest.raises(Wrong, match="sparsemax of 5 rows × 2 columns"):
        case(params.model_copy(update={"computes": "sparsemax"}), context).check()
    with pytest.raises(Refused, match="say which function yours computes"):
        case(params.model_copy(update={"computes": ""}), context)
    with pytest.raises(Refused, match=r"no alternative 'sparsmax'. Did you mean sparsemax"):
        case(params.model_copy(update={"computes": "sparsmax"}), context)


def test_names():
    import lab.core.softmax.alternatives as package

    for name in package.__all__:
        assert getattr(package, name) is not None
    assert alternatives_trial.Params().rows == 64
    assert replace(ALTERNATIVES["sink"]) == ALTERNATIVES["sink"]
