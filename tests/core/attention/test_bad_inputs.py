"""Inputs on which attentions are known to break, for every backend: refused by name, or right."""

import math

import pytest
import torch

from lab.core.attention import BACKENDS, attention, attention_varlen
from lab.core.attention.battery import check
from lab.core.attention.registry import by_name
from lab.core.attention.shapes import Shape, inputs
from lab.core.trial import Refused

BAD = [
    *(
        Shape(n, n, causal=causal, features=("large",))
        for n in (1, 2, 5, 17, 128)
        for causal in (False, True)
    ),
    *(Shape(30, 40, causal=True, d=d) for d in (4, 148, 288)),
]


@pytest.mark.parametrize("shape", BAD, ids=str)
@pytest.mark.parametrize("name", BACKENDS)
def test_large_scores_and_unusual_head_sizes_by_the_rule(name, shape):
    if name == "flash-numba":
        pytest.importorskip("numba")
    point = inputs(Shape(2, 2, d=4), torch.float32)
    found = check(
        by_name(name),
        point.q,
        point.k,
        point.v,
        point.options,
        gradients=False,
        shapes=[shape],
    )
    assert found["cases"] == 2 and found["error_of_allowed"] <= 1


@pytest.mark.parametrize("name", BACKENDS)
def test_packed_queries_beside_one_key_each(name):
    if name == "flash-numba":
        pytest.importorskip("numba")
    q, k, v = (torch.randn(n, 2, 8, generator=torch.Generator().manual_seed(n)) for n in (256, 3, 4))
    v = v[:3]
    cu_q, cu_k = torch.tensor([0, 76, 110, 256]), torch.tensor([0, 1, 2, 3])
    found = attention_varlen(q, k, v, cu_q, cu_k, backend=name)
    expected = v.repeat_interleave(cu_q.diff(), 0)  # one key has all the probability
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_loss_on_the_log_sum_exp_alone_leaves_the_values_alone(name):
    if name == "flash-numba":
        pytest.importorskip("numba")
    q, k, v = (torch.randn(1, 2, 192, 8, requires_grad=True) for _ in range(3))
    try:
        _, lse = attention(q, k, v, return_lse=True, backend=name)
    except Refused as refused:
        assert name in str(refused)
        return
    assert math.isfinite(lse.sum().item())
    dv = torch.autograd.grad(lse.sum(), v, allow_unused=True)[0]
    assert dv is None or not dv.any()
