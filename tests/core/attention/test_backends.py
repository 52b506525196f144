"""The backends against float64, against each other, and in the corners."""

import math
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad

from lab.core.attention import BACKENDS, attention, kernel_of_sdpa, reference
from lab.core.attention.arguments import FORWARD_MODE
from lab.core.attention.band import Band
from lab.core.attention.checks.battery import check
from lab.core.attention.checks.shapes import FURTHER, SHAPES, inputs
from lab.core.attention.flash import backend as flash_backend
from lab.core.attention.flash.tiles import Plan, computed_scores
from lab.core.attention.flash_numba import FASTER_FROM
from lab.core.attention.registry import EVERYTHING, by_name
from lab.core.measure.memory import _allocated_on_cpu
from lab.core.trial import Refused

ALL = sorted(
    BACKENDS.keys() - {"flash-numba", "flash-triton"}
)  # which have no float64, and files of their own
WITHOUT_GRADIENTS = ["flex"]  # on a CPU


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def qkv(heads=2, kv_heads=2, queries=9, keys=13, d=8, batch=1, dtype=torch.float64, grad=False):
    shapes = ((heads, queries), (kv_heads, keys), (kv_heads, keys))
    return [
        normal(batch, h, n, d, dtype=dtype, seed=seed).requires_grad_(grad)
        for seed, (h, n) in enumerate(shapes)
    ]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 4 queries and 5 keys, one head at a time: everything that only happens between tiles happens."""
    monkeypatch.setattr(flash_backend, "plan", lambda *a, **k: Plan(rows=4, keys=5, kv_heads=1))


def options_of(dtype, **changes):
    return replace(inputs(SHAPES[0], dtype).options, scale=8**-0.5, return_lse=False, **changes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "name", [*(name for name in ALL if name != "flex"), pytest.param("flex", marks=pytest.mark.slow)]
)
def test_every_shape_by_the_rule(name, dtype):
    q, k, v = qkv(queries=40, keys=40, dtype=dtype)
    shapes = (*SHAPES, *FURTHER)
    found = check(
        by_name(name),
        q,
        k,
        v,
        options_of(dtype),
        gradients=name not in WITHOUT_GRADIENTS,
        shapes=shapes,
        of_options=True,
    )
    assert (
        found["cases"] + found["refused"] == len(shapes) + 2 - (name in WITHOUT_GRADIENTS)
        and found["nan_astray"] == 0
    )
    assert (found["refused"] == 0) == (BACKENDS[name].has >= EVERYTHING - {FORWARD_MODE})
    assert found["error_of_allowed"] <= 1 and found.get("grad_error_of_allowed", 0) <= 1


def test_a_few_shapes_by_the_rule_in_flex():
    """Not compiled it takes a quarter of a second for each, hence few; all of them are in the slow tests."""
    q, k, v = qkv(queries=40, keys=40, dtype=torch.float32)
    found = check(by_name("flex"), q, k, v, options_of(q.dtype), gradients=False, shapes=SHAPES[::6])
    assert found["cases"] > found["refused"] and found["error_of_allowed"] <= 1 and found["nan_astray"] == 0


def test_every_shape_by_the_rule_in_small_tiles(small_tiles):
    q, k, v = qkv(queries=40, keys=40)
    shapes = [shape for shape in (*SHAPES, *FURTHER) if shape.queries * shape.keys < 40_000]
    found = check(
        by_name("flash"), q, k, v, options_of(q.dtype), gradients=True, shapes=shapes, of_options=True
    )
    assert found["cases"] == len(shapes) + 2


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(1, 20),
    keys=st.integers(1, 20),
    causal=st.booleans(),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    groups=st.sampled_from([1, 3]),
)
def test_any_tiles_give_the_same(queries, keys, causal, rows, columns, groups):
    q, k, v = qkv(2 * groups, 2, queries, keys, grad=True)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flash_backend, "plan", lambda *a, **k: Plan(rows, columns, kv_heads=2))
        for name in ("flash", "standard"):
            output = attention(q, k, v, causal=causal, backend=name)
            results.append((output, *torch.autograd.grad(output.square().sum(), (q, k, v))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", ["dense", "causal", "grouped", "boolean", "additive", "more queries"])
def test_gradcheck(case, small_tiles):
    heads, queries = (4, 7) if case == "grouped" else (2, 11 if case == "more queries" else 7)
    q, k, v = qkv(heads, 2, queries, 9, 3, grad=True)
    mask = normal(queries, 9, seed=5) > -0.5
    mask[2] = False
    masks = {"boolean": mask, "additive": normal(queries, 9).masked_fill(~mask, -math.inf)}
    causal = case not in ("dense", "boolean")

    def f(q, k, v):
        output, lse = attention(
            q, k, v, causal=causal, attn_mask=masks.get(case), return_lse=True, backend="flash"
        )
        return output, lse.masked_fill(lse == -math.inf, 0)

    assert torch.autograd.gradcheck(f, (q, k, v))


def test_only_the_gradients_that_are_asked_for():
    q, k, v = qkv()
    k.requires_grad_()
    attention(q, k, v, backend="flash").sum().backward()
    assert k.grad is not None and q.grad is None and v.grad is None


def test_the_log_sum_exp_of_both_and_a_loss_on_it_alone():
    q, k, v = qkv(grad=True)
    _, ours = attention(q, k, v, causal=True, return_lse=True, backend="flash")
    _, theirs = attention(q, k, v, causal=True, return_lse=True, backend="standard")
    torch.testing.assert_close(ours, theirs)
    gradients = torch.autograd.grad(ours.sum(), (q, k, v), allow_unused=True)
    expected = torch.autograd.grad(theirs.sum(), (q, k))
    torch.testing.assert_close(gradients[:2], expected)
    assert gradients[2] is None or not gradients[2].any()


@pytest.mark.parametrize("name", sorted({*ALL} - {*WITHOUT_GRADIENTS}))
def test_rows_that_see_nothing_are_0_with_finite_gradients(name):
    q, k, v = qkv(queries=6, keys=4, grad=True)
    output = attention(q, k, v, causal=True, backend=name)  # the first two queries come before all keys
    assert not output[:, :, :2].any() and output[:, :, 2:].all()
    mask = torch.ones(6, 4, dtype=torch.bool)
    mask[3] = False
    masked = attention(q, k, v, attn_mask=mask, backend=name)
    assert not masked[:, :, 3].any()
    for gradient in torch.autograd.grad((output + masked).sum(), (q, k, v)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_nan_stays_where_it_is(name):
    q, k, v = qkv(queries=8, keys=8)
    q[0, 0, 3, 1] = math.nan
    k[0, 1, 5, 1] = math.nan  # causal: seen by the queries 5, 6 and 7
    nan = attention(q, k, v, causal=True, backend=name).isnan().any(-1)[0]
    assert nan[0].nonzero().flatten().tolist() == [3]
    assert nan[1].nonzero().flatten().tolist() == [5, 6, 7]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("queries, keys", [(0, 4), (4, 0), (0, 0)])
def test_zero_length(name, queries, keys):
    q, k, v = qkv(queries=queries, keys=keys)
    output = attention(q, k, v, backend=name)
    assert output.shape == q.shape and not output.any()


@pytest.mark.parametrize("name", ALL)
def test_logits_that_would_overflow(name):
    q, k, v = qkv(dtype=torch.float32)
    assert attention(q * 1e4, k * 1e3, v, backend=name).isfinite().all()


@pytest.mark.parametrize("name", ["standard", "flash"])
def test_values_of_another_size(name):
    q, k, _ = qkv()
    v = normal(1, 2, 13, 5)
    expected = reference.algorithm_0(q[0, 0] * 8**-0.5, k[0, 0], v[0, 0])
    torch.testing.assert_close(attention(q, k, v, backend=name)[0, 0], expected)


def test_flash_memory_is_linear_and_standard_memory_is_not():
    def allocated(name, length):
        q, k, v = qkv(1, 1, length, length, 16, dtype=torch.float32)
        return _allocated_on_cpu(lambda: attention(q, k, v, causal=True, backend=name))

    assert allocated("flash", 8192) < 2.5 * allocated("flash", 4096)
    assert allocated("standard", 2048) > 3.5 * allocated("standard", 1024)


def test_a_mask_costs_flash_no_more_than_itself():
    q, k, v = qkv(4, 4, 2048, 2048, 16, dtype=torch.float32)
    mask = torch.ones(1, 1, 2048, 2048, dtype=torch.bool)
    call = lambda: attention(q, k, v, attn_mask=mask, backend="flash")  # noqa: E731
    assert _allocated_on_cpu(call) < 2048 * 2048 * 4


def test_causal_computes_about_half_the_scores():
    assert computed_scores(4096, 4096, Band(0, high=0)) / 4096**2 == pytest.approx(0.5, abs=0.04)
    assert computed_scores(4096, 4096, Band(0)) == 4096**2
    assert computed_scores(3, 2, Band(-1, high=-1)) < 6  # the first query sees nothing, and is in no tile


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda q, k, v: (q[0], k, v), r"q has shape \(2, 9, 8\)"),
        (lambda q, k, v: (q, k[..., :5], v), "k has head_dim 5, but q has head_dim 8"),
        (lambda q, k, v: (q, k.float(), v), "k has dtype float32, but q has dtype float64"),
        (lambda q, k, v: (q, k, v.to("meta")), "v has device meta, but q has device cpu"),
        (lambda q, k, v: (q, k, v[:, :, :7]), "v has 2 heads and 7 keys, but k has 2 heads and 13 keys"),
        (lambda q, k, v: (q.repeat(2, 1, 1, 1), k, v), "k has a batch of 1, but q one of 2"),
        (lambda q, k, v: (q.repeat(1, 2, 1, 1)[:, :3], k, v), "q has 3 heads, .* multiple of the 2 heads"),
        (lambda q, k, v: (q.long(), k, v), "q holds int64"),
    ],
)
def test_what_does_not_fit_is_named_on_both_sides(change, message):
    with pytest.raises(ValueError, match=message):
        attention(*change(*qkv()))


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"attn_mask": torch.ones(9, 12, dtype=torch.bool)},
            r"attn_mask has shape \(9, 12\), but .* \(1, 2, 9, 13\)",
        ),
        ({"attn_mask": torch.ones(9, 13, dtype=torch.int64)}, "attn_mask holds int64"),
        ({"softcap": -1.0}, "softcap is -1"),
        ({"sink": torch.ones(3)}, r"sink has shape \(3,\), but q has 2 heads"),
        ({"dropout_p": 1.0}, "dropout_p is 1"),
        ({"window_size": (1, 2, 3)}, "window_size is"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        attention(*qkv(), **options)


@pytest.mark.parametrize(
    "option",
    [
        {"window_size": 3},
        {"softcap": 15.0},
        {"sink": torch.zeros(2)},
        {"dropout_p": 0.5},
        {"alibi_slopes": torch.ones(2)},
    ],
)
def test_what_a_backend_lacks_it_refuses_by_name(option):
    with pytest.raises(Refused, match=rf"short has no {next(iter(option))}; it is in standard, flash"):
        attention(*qkv(), **option, backend="short")
    assert attention(*qkv(), **option).shape == (1, 2, 9, 8)  # auto finds one that has it
    with pytest.raises(Refused, match="Did you mean flash"):
        attention(*qkv(), backend="flsh")


def test_the_options_of_standard():
    q, k, v = qkv(queries=6, keys=6)
    S = (q @ k.mT) * 8**-0.5
    capped = torch.softmax(5 * torch.tanh(S / 5), -1) @ v
    torch.testing.assert_close(attention(q, k, v, softcap=5.0, backend="standard"), capped)
    sink = normal(2)
    e = torch.exp(S)
    expected = e / (e.sum(-1, keepdim=True) + sink.exp().view(1, 2, 1, 1)) @ v
    torch.testing.assert_close(attention(q, k, v, sink=sink, backend="standard"), expected)
    near = (torch.arange(6)[:, None] - torch.arange(6)).abs() <= 2
    expected = attention(q, k, v, attn_mask=near, backend="standard")
    torch.testing.assert_close(attention(q, k, v, window_size=2, backend="standard"), expected)


def test_the_kernel_that_really_ran():
    q, k, v = qkv(dtype=torch.float32)
    assert kernel_of_sdpa(lambda: attention(q, k, v, backend="sdpa")) == "flash"
    assert kernel_of_sdpa(lambda: attention(q, k, v, dropout_p=0.5, backend="sdpa")) == "math"
    assert kernel_of_sdpa(lambda: attention(q, k, v, backend="flash")) == "none"


@pytest.mark.parametrize("name", ["standard", "short", "auto"])
def test_forward_mode_derivatives_are_there_or_refused(name):
    q, k, v = (x.float() for x in qkv(queries=600, keys=600))
    given, tangents = (q, k, v), tuple(x.flip(-1) for x in (q, k, v))

    def tangent(function, given, tangents):
        with forward_ad.dual_level():
            found = function(*(forward_ad.make_dual(x, t) for x, t in zip(given, tangents, strict=True)))
            return forward_ad.unpack_dual(found).tangent

    found = tangent(lambda *x: attention(*x, causal=True, backend=name), given, tangents)
    step = 1e-6  # a difference quotient in float64
    ahead, behind = (
        attention(*(x.double() + s * t.double() for x, t in zip(given, tangents, strict=True)), causal=True,
                  backend="standard")
        for s in (step, -step)
    )  # fmt: skip
    torch.testing.assert_close(found.double(), (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-5)
    for other in BACKENDS.keys() - {"standard", "short"}:
        with pytest.raises(
            Refused, match=f"{other} has no forward-mode derivative; it is in standard, short"
        ):
            tangent(lambda *x, other=other: attention(*x, backend=other), given, tangents)


@pytest.mark.parametrize("name", ["flash", "flash-numba", "sdpa"])
@pytest.mark.parametrize("dtype, size", [(torch.float16, 6e4), (torch.float32, 1e8), (torch.float32, 1e5)])
def test_scores_whose_rounding_is_more_than_an_exponent(name, dtype, size):
    if name == "flash-numba":
        pytest.importorskip("numba")
    q, k = (normal(1, 2, 70, 16, seed=i).sigmoid() * size * (1 - 2 * (i == 0)) for i in range(2))
    q, k, v = (x.to(dtype).requires_grad_() for x in (q, k.flip(2), normal(1, 2, 70, 16, seed=2)))
    true, L = attention(q.double(), k.double(), v.double(), return_lse=True, backend="standard")
    if name == "sdpa":
        found = attention(q, k, v, backend=name)
    else:
        found, lse = attention(q, k, v, return_lse=True, backend=name)
        torch.testing.assert_close(lse.double(), L, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.double(), true, rtol=1e-3, atol=1e-3)
    assert all(x.isfinite().all() for x in torch.autograd.grad(found.sum(), (q, k, v)))


@pytest.mark.parametrize("name", ["standard", "flash", "flash-numba", "short", "sdpa"])
def test_a_mask_of_the_least_numbers_hides_nothing_where_all_are_equal(name):
    if name == "flash-numba":
        pytest.importorskip("numba")
    for queries in (70, 3):
        q, k, v = (x.float() for x in qkv(queries=queries, keys=90))
        mask = torch.full((queries, 90), torch.finfo(torch.float32).min)
        found = attention(q, k, v, attn_mask=mask, backend=name)
        torch.testing.assert_close(found, v.mean(2, keepdim=True).expand_as(found))


def test_the_second_derivative_of_flash_knows_no_autocast():
    found = []
    for enabled in (False, True):
        q, k, v = (x.float().requires_grad_() for x in qkv())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            output = attention(q, k, v, causal=True, softcap=2.0, backend="flash")
            first = torch.autograd.grad(output.square().sum(), (q, k, v), create_graph=True)
            found.append(
                (output, *first, *torch.autograd.grad(sum(x.square().sum() for x in first), (q, k, v)))
            )
    for plain, cast in zip(*found, strict=True):
        torch.testing.assert_close(plain, cast, rtol=1e-6, atol=1e-6)


def test_functional_gradients():
    q, k, v = qkv()
    found = [
        torch.func.grad(lambda x, name=name: attention(x, k, v, backend=name).square().sum())(q)
        for name in ("flash", "standard")
    ]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(), (13,), (1, 13), (2, 1, 13), (1, 1, 9, 1)])
def test_masks_of_fewer_dimensions(name, shape):
    q, k, v = qkv()
    mask = (torch.arange(math.prod(shape)).view(shape) % 3 > 0) if shape else torch.tensor(True)
    expected = attention(q, k, v, attn_mask=mask.expand(1, 2, 9, 13), backend="standard")
    torch.testing.assert_close(attention(q, k, v, attn_mask=mask, backend=name), expected)


def test_a_tile_that_overflows_is_as_if_it_were_not_seen(small_tiles):
    q, k, v = (
        torch.full((1, 1, 4, 8), 1e30),
        torch.ones(1, 1, 12, 8),
        normal(1, 1, 12, 8, dtype=torch.float32),
    )
    k[:, :, :6] = -1e30  # scores of −∞ in the first tile and a bit
    k[:, :, 6:] = 0
    expected = v[:, :, 6:].mean(2, keepdim=True).expand(1, 1, 4, 8)
    for name in ALL:
        torch.testing.assert_close(attention(q, k, v, scale=1.0, backend=name), expected)


SIZES = {  # batch, heads, heads of k, queries, keys, head_dim
    "PyTorch's sample inputs": (4, 4, 4, 3, 6, 8),
    "one query": (2, 4, 2, 1, 300, 64),
    "few keys": (2, 4, 4, 40, 40, 16),
    "few queries": (2, 4, 2, 5, 40, 16),
    "many keys": (1, 2, 2, 30, 600, 32),
    "many queries": (1, 2, 1, 512, 512, 32),
}


HALVES = (torch.bfloat16, torch.float16)
TAKEN = {  # by "auto" on a CPU: those whose error the rule binds, and in which dtypes
    "auto": (torch.float64, torch.float32, *HALVES),
    "short": (torch.float64, torch.float32, *HALVES),
    "flash-numba": (torch.float32,),
    "sdpa": (torch.float64, torch.float32, *HALVES),
    "flash": (torch.float64, torch.float32, *HALVES),
    "standard": (torch.float64, torch.float32),  # else its scores are wider than its inputs
}


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)  # of float64 nothing is the truth
@pytest.mark.parametrize("size", [3, 9])
@pytest.mark.parametrize("shape", SIZES)
def test_what_auto_may_take_is_at_most_twice_as_far_off_as_pytorch(shape, size, dtype):
    """In the output and the gradients, each on average over some draws: by luck one number is off by more."""
    batch, heads, kv_heads, queries, keys, d = SIZES[shape]
    mask = normal(queries, keys, seed=5) > -0.5
    mask[:, 0] = True
    added = normal(queries, keys).masked_fill(~mask, -9.0).to(dtype)
    at = torch.arange(queries).unsqueeze(1) + keys - queries
    window = (torch.arange(keys) <= at) & (torch.arange(keys) >= at - 2)
    # Not the textbook form, which has no rival where it is taken.
    names = [name for name, dtypes in TAKEN.items() if dtype in dtypes and name != "standard"]
    if "flash-numba" in names and (min(queries, keys) < FASTER_FROM or not find_spec("numba")):
        names.remove("flash-numba")
    # Open: one query with scores of 200 in float32, where the gradients of tiles are further off than that.
    is_open = (shape, size, dtype) == ("one query", 9, torch.float32)
    if is_open:
        names.remove("flash")
    for kwargs, of_sdpa in (
        ({}, {}),
        ({"causal": True}, {"causal": True}),
        ({"attn_mask": mask}, {"attn_mask": mask}),
        ({"attn_mask": added}, {"attn_mask": added}),
        ({"causal": True, "window_size": (2, 0)}, {"attn_mask": window}),
    ):
        if is_open and "window_size" in kwargs:
            continue
        off = dict.fromkeys(names, torch.zeros(4)) | {"PyTorch": torch.zeros(4)}
        for seed in range(4):
            # From −size to size, as PyTorch makes its sample inputs.
            given = [
                size * (2 * normal(batch, h, n, d, seed=10 * seed + i).sigmoid() - 1)
                for i, (h, n) in enumerate(((heads, queries), (kv_heads, keys), (kv_heads, keys)))
            ]
            dO = normal(batch, heads, queries, d, seed=seed).to(dtype)

            def everything(backend, kind, kwargs, given=given, dO=dO):
                variables = [x.to(dtype).to(kind).requires_grad_() for x in given]
                mask = kwargs.get("attn_mask")
                if mask is not None and mask.dtype != torch.bool:
                    kwargs = {"attn_mask": mask.to(kind)}
                O = attention(*variables, **kwargs, backend=backend)  # noqa: E741
                return [O.detach(), *torch.autograd.grad(O, variables, dO.to(kind))]

            true = everything("standard", torch.float64, kwargs)
            for name in off:
                try:
                    found = (
                        everything("sdpa", dtype, of_sdpa)
                        if name == "PyTorch"
                        else everything(name, dtype, kwargs)
                    )
                except Refused:
                    continue
                off[name] = off[name] + torch.stack(
                    [(a.double() - b).abs().max() for a, b in zip(found, true, strict=True)]
                )
        # Beside a unit in the last place of each draw: over few numbers SDPA may be right by luck.
        allowed = 4 * torch.finfo(dtype).eps * torch.stack([x.abs().max() for x in true])
        for name in names:
            # Gradients in tiles may be three times as far off, as in FlashAttention's tests and in the battery.
            in_tiles = name.startswith("flash") or "window_size" in kwargs
            times = torch.tensor([2.0, *[3.0 if in_tiles else 2.0] * 3])
            assert (off[name] <= torch.maximum(times * off["PyTorch"], allowed)).all(), (
                name,
                kwargs.keys(),
                off,
            )


def test_auto_takes_nothing_but_what_the_rule_binds(monkeypatch):
    """Whatever is asked: backends of other names are replaced, and must not be called."""
    taken = set()
    for name, backend in BACKENDS.items():

        def function(q, k, v, options, name=name, backend=backend):
            assert q.dtype in TAKEN.get(name, ()), (name, q.dtype)
            taken.add(name)
            return backend.function(q, k, v, options)

        monkeypatch.setitem(BACKENDS, name, replace(backend, function=function))
    for dtype in TAKEN["auto"]:
        for queries, keys in ((1, 300), (5, 40), (40, 40), (30, 600)):
            q = normal(1, 2, queries, 16, dtype=dtype)
            k, v = (normal(1, 1, keys, 16, seed=seed, dtype=dtype) for seed in (1, 2))
            for kwargs in ({}, {"window_size": 3}, {"softcap": 5.0}, {"return_lse": True}):
                attention(q, k, v, **kwargs)
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(q, torch.ones_like(q))
                assert attention(dual, k, v, window_size=3).dtype == dtype
    assert {"short", "sdpa", "flash", "standard"} <= taken


@pytest.mark.parametrize("d, seed", [(d, seed) for d in (64, 80, 128) for seed in range(4)])
def test_the_rule_takes_textbook_attention_however_it_scales(d, seed):
    """Plain softmax(QKᵀ·scale)V by someone who has never heard of us."""

    def textbook(q, k, v, options):
        S = q @ k.mT * options.scale
        return torch.softmax(S, -1) @ v

    q, k, v = (normal(1, 2, 200, d, dtype=torch.float32, seed=10 * seed + i) for i in range(3))
    options = replace(inputs(SHAPES[0], q.dtype).options, scale=d**-0.5, causal=False)
    assert check(textbook, q, k, v, options, gradients=True, shapes=())["error_of_allowed"] <= 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"causal": "no"}, "causal is 'no'; it must be True or False"),
        ({"softcap": math.nan}, "softcap is nan"),
        ({"scale": "x"}, "scale is 'x'; it must be a finite number"),
        ({"softcap": math.inf}, "softcap is inf; it must be a finite number above 0"),
        ({"softcap": "30"}, "softcap is '30'; it must be a finite number above 0"),
        ({"dropout_p": None}, "dropout_p is None; it must be at least 0 and below 1"),
        ({"window_size": "12"}, "window_size is 12; it is"),
        ({"attn_mask": torch.ones(9, 13).numpy()}, "attn_mask is ndarray; it must be a tensor"),
        ({"window_size": (1.5, 2)}, "window_size is"),
    ],
)
def test_options_of_the_wrong_kind(options, message):
    with pytest.raises(ValueError, match=message):
        attention(*qkv(), **options)
    numbers = {"window_size": np.int64(3), "scale": np.float32(0.5), "softcap": np.float64(2.0)}
    plain = {"window_size": 3, "scale": 0.5, "softcap": 2.0}
    assert torch.equal(
        attention(*qkv(), **numbers), attention(*qkv(), **plain)
    )  # NumPy's numbers are numbers
    with pytest.raises(ValueError, match="q is list; it must be a tensor"):
        attention([1], *qkv()[1:])
