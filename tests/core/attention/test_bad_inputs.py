"""Inputs on which attentions are known to break, for every backend: refused by name, or right."""

import math

import pytest
import torch

from lab.core.attention import BACKENDS, attention, attention_decode, attention_varlen
from lab.core.attention.checks.battery import check
from lab.core.attention.checks.shapes import Shape, inputs
from lab.core.attention.registry import by_name
from lab.core.trial import Refused

BAD = [
    *(
        Shape(n, n, causal=causal, features=("large",))
        for n in (1, 2, 5, 17, 128)
        for causal in (False, True)
    ),
    *(Shape(30, 40, causal=True, d=d) for d in (4, 148, 288)),
]


@pytest.fixture(params=sorted(BACKENDS.keys() - {"flash-triton"}))
def name(request):
    """Each backend that runs on a CPU; flash-triton's own file has the interpreter for it."""
    if request.param == "flash-numba":
        pytest.importorskip("numba")
    return request.param


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def qkv(heads=4, kv_heads=2, queries=40, keys=48, d=16, d_v=16, batch=1):
    shapes = ((heads, queries, d), (kv_heads, keys, d), (kv_heads, keys, d_v))
    return [normal(batch, *shape, seed=i) for i, shape in enumerate(shapes)]


def output_and_gradients(name, q, k, v, **kwargs):
    """With the gradients of q, k and v where there are some; None where all is refused, by name."""
    try:
        try:
            variables = [x.detach().requires_grad_() for x in (q, k, v)]
            O = attention(*variables, **kwargs, backend=name)  # noqa: E741
            return O.detach(), *torch.autograd.grad(O, variables, normal(*O.shape, seed=9).to(O))
        except Refused as refused:
            if "gradient" not in str(refused):
                raise
            return (attention(q, k, v, **kwargs, backend=name),)
    except Refused as refused:
        assert str(refused).startswith(name)
        return None


@pytest.mark.parametrize("shape", BAD, ids=str)
def test_large_scores_and_unusual_head_sizes_by_the_rule(name, shape):
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


def test_packed_queries_beside_one_key_each(name):
    q, k, v = (torch.randn(n, 2, 8, generator=torch.Generator().manual_seed(n)) for n in (256, 3, 4))
    v = v[:3]
    cu_q, cu_k = torch.tensor([0, 76, 110, 256]), torch.tensor([0, 1, 2, 3])
    found = attention_varlen(q, k, v, cu_q, cu_k, backend=name)
    expected = v.repeat_interleave(cu_q.diff(), 0)  # one key has all the probability
    torch.testing.assert_close(found, expected)


def test_a_loss_on_the_log_sum_exp_alone_leaves_the_values_alone(name):
    q, k, v = (torch.randn(1, 2, 192, 8, requires_grad=True) for _ in range(3))
    try:
        _, lse = attention(q, k, v, return_lse=True, backend=name)
    except Refused as refused:
        assert name in str(refused)
        return
    assert math.isfinite(lse.sum().item())
    dv = torch.autograd.grad(lse.sum(), v, allow_unused=True)[0]
    assert dv is None or not dv.any()


@pytest.mark.parametrize("kind", ["boolean", "additive", "causal"])
def test_rows_that_may_attend_to_nothing_are_0_with_finite_gradients(name, kind):
    q, k, v = qkv(keys=32)  # causal: the first eight queries come before all keys
    mask = torch.ones(40, 32, dtype=torch.bool)
    mask[:8] = False
    added = torch.zeros(40, 32).masked_fill(~mask, -math.inf)
    kwargs = {"boolean": {"attn_mask": mask}, "additive": {"attn_mask": added}, "causal": {"causal": True}}
    found = output_and_gradients(name, q, k, v, **kwargs[kind])
    if found is not None:
        O, *gradients = found  # noqa: E741
        assert not O[:, :, :8].any() and O[:, :, 8:].all()
        assert all(x.isfinite().all() for x in gradients)
        assert not gradients or not gradients[0][:, :, :8].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_scores_far_below_0_by_the_rule(name, dtype):
    """An N that leaves half a tile of 128, and a log-sum-exp whose e^x is nothing in float32."""
    shape, point = Shape(64, 192, features=("low",)), inputs(Shape(2, 2, d=4), dtype)
    _, lse = attention(*(getattr(inputs(shape, dtype), x) for x in "qkv"), return_lse=True)
    assert lse.max() < -88.7
    tensors = point.q, point.k, point.v
    gradients = name != "flex"  # which has none on a CPU
    found = check(by_name(name), *tensors, point.options, gradients=gradients, shapes=[shape])
    assert found["refused"] == 0 and found["error_of_allowed"] <= 1


def test_heads_that_do_not_divide_and_dtypes_that_are_mixed_are_named(name):
    q, k, v = qkv()
    with pytest.raises(ValueError, match="q has 3 heads, which is no multiple of the 2 heads of k and v"):
        attention(q[:, :3], k, v, backend=name)
    with pytest.raises(ValueError, match="k has dtype bfloat16, but q has dtype float32"):
        attention(q, k.bfloat16(), v.bfloat16(), backend=name)


@pytest.mark.parametrize("batch, queries, keys", [(0, 5, 6), (2, 0, 6), (2, 5, 0), (0, 0, 0)])
@pytest.mark.parametrize("causal", [False, True])
def test_what_is_empty_gives_what_is_empty_or_0(name, batch, queries, keys, causal):
    q, k, v = qkv(queries=queries, keys=keys, batch=batch)
    found = output_and_gradients(name, q, k, v, causal=causal)
    if found is not None:
        for x, like in zip(found, (q, q, k, v), strict=False):
            assert x.shape == like.shape and not x.any()


LAYOUTS = {
    "of stride 0": lambda x: x[:, :, :1].expand_as(x),
    "padded": lambda x: torch.nn.functional.pad(x, (3, 2))[..., 3:-2],
    "unaligned": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape),
    "transposed": lambda x: x.mT.contiguous().mT,
    "length first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "every other": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_makes_no_difference(name, layout):
    tensors = [LAYOUTS[layout](x) for x in qkv()]
    expected = output_and_gradients(name, *(x.contiguous() for x in tensors), causal=True)
    found = output_and_gradients(name, *tensors, causal=True)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("d, d_v", [(16, 5), (8, 32)])
def test_values_of_another_size_are_refused_or_right(name, d, d_v):
    q, k, v = qkv(d=d, d_v=d_v)
    found = output_and_gradients(name, q, k, v, causal=True)
    if found is not None:
        expected = output_and_gradients("standard", *(x.double() for x in (q, k, v)), causal=True)
        for ours, theirs in zip(found, expected, strict=False):
            torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("splits", [1, 2, 3, 5, 17, 32, 55, 97, 133])
def test_a_cache_in_any_number_of_parts(name, splits):
    if name == "flex" and splits > 5:
        pytest.skip("a quarter of a second for each part")
    q, k, v = qkv(queries=1, keys=120)
    expected, L = attention(q.double(), k.double(), v.double(), return_lse=True, backend="standard")
    try:
        found, lse = attention_decode(q, k, v, splits=splits, backend=name)
    except Refused as refused:
        assert str(refused).startswith(f"{name} has no return_lse")
        return
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lse, L.float(), rtol=1e-5, atol=1e-5)


def test_dropout_drops_its_share_and_the_same_again_for_the_same_seed(name):
    n = 256
    q, k = normal(1, 2, n, n), normal(1, 2, n, n, seed=1)
    v = torch.eye(n).expand(1, 2, n, n)  # the output is P, with what was dropped
    q = q / n

    def drop(seed):
        torch.manual_seed(seed)
        return attention(q, k, v, dropout_p=0.17, backend=name)

    try:
        found = drop(3)
    except Refused as refused:
        assert str(refused).startswith(f"{name} has no dropout_p")
        return
    assert abs((found == 0).double().mean().item() - 0.17) < 0.01
    assert torch.equal(found, drop(3)) and not torch.equal(found, drop(4))


def test_twenty_calls_give_the_same_bits(name):
    q, k, v = qkv(queries=200, keys=200, d=32, d_v=32)
    first, *others = (output_and_gradients(name, q, k, v, causal=True) for _ in range(20))
    assert all(torch.equal(a, b) for each in others for a, b in zip(each, first, strict=True))
