"""flash-triton under Triton's interpreter: run by test_flash_triton.py in its own process."""

import math

import pytest
import torch
import triton_interpreter  # noqa: F401

from lab.core.attention import attention
from lab.core.attention.checks.battery import check
from lab.core.attention.checks.shapes import Shape, inputs
from lab.core.attention.registry import by_name
from lab.core.trial import Refused

CASES = (
    Shape(3, 3, d=8),
    Shape(70, 65, d=20, d_v=9, causal=True, heads=6, kv_heads=2),
    Shape(65, 70, d=16, window=(20, 3)),
    Shape(70, 90, d=8, causal=True, mask="rows masked", features=("top-left",)),
    Shape(70, 90, d=8, mask="additive", layout="transposed"),
    Shape(96, 40, d=8, causal=True, features=("sink", "alibi"), softcap=15.0),
    Shape(70, 90, d=8, causal=True, window=(20, 0), softcap=15.0, features=("sink", "alibi"), heads=6, kv_heads=1),
    Shape(17, 20, d=8, heads=4, kv_heads=2, features=("alibi of each",)),
    Shape(65, 65, d=8, causal=True, nan="k"),
    Shape(0, 5),
    Shape(5, 0),
)  # fmt: skip


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", CASES, ids=str)
def test_shapes_by_the_rule(shape):
    q, k, v = (normal(1, 1, 2, 4, seed=i) for i in range(3))
    options = inputs(Shape(2, 2, d=4), torch.float32).options
    function, of_options = by_name("flash-triton"), shape.mask != "additive"
    found = check(function, q, k, v, options, gradients=True, shapes=[shape], of_options=of_options)
    assert not found["refused"] and not found["nan_astray"]


def test_dropout_sink_and_log_sum_exp_with_gradients_are_those_of_standard_and_the_same_twice():
    found = []
    for backend in ("flash-triton", "flash-triton", "standard"):
        of_keys = (normal(2, 2, 50, 8, seed=seed) for seed in (1, 2))
        q, k, v, sink = (x.requires_grad_() for x in (normal(2, 4, 40, 8), *of_keys, normal(4)))
        O, L = attention(  # noqa: E741
            q, k, v, causal=True, sink=sink, dropout_p=0.3, dropout_seed=5, return_lse=True, backend=backend
        )
        found.append([O, L, *torch.autograd.grad(O.square().sum() + L.sin().sum(), (q, k, v, sink))])
    for mine, again, true in zip(*found, strict=True):
        assert torch.equal(mine, again)
        torch.testing.assert_close(mine, true, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale, room", [(-0.7, 1 << 25), (0.0, 1), (0.4, 6400)])
def test_any_scale_and_sections_of_any_size(scale, room, monkeypatch):
    """Scales of either sign; and one head, two of three, or all of them in a section."""
    monkeypatch.setattr("lab.core.attention.triton.backend.L2_CACHE", room)
    found = []
    for backend in ("flash-triton", "standard"):
        q, k, v = (normal(1, 3, 50, 8, seed=seed).requires_grad_() for seed in range(3))
        O = attention(q, k, v, causal=True, scale=scale, backend=backend)  # noqa: E741
        found.append([O, *torch.autograd.grad(O.square().sum(), (q, k, v))])
    for mine, true in zip(*found, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-4, atol=1e-5)


def test_a_mask_of_the_least_numbers_hides_nothing_where_all_are_equal():
    q, k, v = (normal(1, 1, 5, 8, seed=i) for i in range(3))
    mask = torch.full((5, 5), torch.finfo(torch.float32).min)
    O = attention(q, k, v, attn_mask=mask, backend="flash-triton")  # noqa: E741
    torch.testing.assert_close(O, v.mean(2, keepdim=True).expand_as(O))


def test_a_nan_that_is_hidden_does_not_leak():
    q, k, v = (normal(1, 1, 40, 8, seed=i) for i in range(3))
    k[0, 0, 35], v[0, 0, 35] = math.nan, math.nan
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    O = attention(q, k, v, causal=True, backend="flash-triton")  # noqa: E741
    assert O[:, :, :35].isfinite().all() and O[:, :, 35:].isnan().all()
    (dq,) = torch.autograd.grad(O[:, :, :35].sum(), q)
    assert dq[:, :, :35].isfinite().all()


def test_a_finite_number_that_overflows_where_it_is_hidden_changes_nothing():
    found = []
    for number in (0.0, 3e38):
        q, k, v = (normal(1, 1, 40, 8, seed=i) for i in range(3))
        k[0, 0, 35], v[0, 0, 35] = number, number
        given = [x.requires_grad_() for x in (q, k, v)]
        mask = torch.arange(40) != 35
        O = attention(*given, attn_mask=mask, backend="flash-triton")  # noqa: E741
        found.append((O, *torch.autograd.grad(O.square().sum(), given)))
    for clean, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, clean)


def test_a_second_derivative_is_refused():
    q = normal(1, 1, 4, 4).requires_grad_()
    (dq,) = torch.autograd.grad(
        attention(q, q, q, backend="flash-triton").square().sum(), q, create_graph=True
    )
    with pytest.raises(Refused, match="no second derivative; it is in standard, flash"):
        dq.sum().backward()
