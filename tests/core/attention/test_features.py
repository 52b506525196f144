"""What may be asked of attention besides q, k and v: each against a formula of its own, and all of them together."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.attention import attention
from lab.core.attention.alibi import alibi_slopes
from lab.core.attention.arguments import IN_USE, MaskedArguments
from lab.core.attention.band import Band
from lab.core.attention.checks.battery import check
from lab.core.attention.checks.shapes import LONG, SHAPES, Shape, inputs
from lab.core.attention.dropout import kept_of_all
from lab.core.attention.flash import backend as flash_backend
from lab.core.attention.flash.tiles import Plan, computed_scores
from lab.core.attention.registry import BACKENDS, by_name
from lab.core.trial import Refused

EVERY = ["standard", "flash"]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def qkv(heads=4, kv_heads=2, queries=7, keys=9, d=3, d_v=2, batch=1, grad=False):
    shapes = ((heads, queries, d), (kv_heads, keys, d), (kv_heads, keys, d_v))
    return [normal(batch, *shape, seed=i).requires_grad_(grad) for i, shape in enumerate(shapes)]


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(flash_backend, "plan", lambda *a, **k: Plan(rows=4, keys=5, kv_heads=1))


SLOPES = alibi_slopes(4)
KWARGS = {
    "plain": {},
    "causal": {"causal": True},
    "top-left": {"causal": True, "align": "top-left"},
    "window": {"window_size": (2, 1)},
    "softcap": {"softcap": 1.5},
    "sink": {"sink": normal(4, seed=7)},
    "alibi": {"alibi_slopes": SLOPES},
    "dropout": {"dropout_p": 0.3, "dropout_seed": 5},
    "mask": {"attn_mask": normal(4, 1, 9, seed=8)},
    "all": {
        "causal": True, "align": "top-left", "window_size": 4, "softcap": 1.5, "sink": normal(4, seed=7),
        "alibi_slopes": SLOPES, "dropout_p": 0.3, "dropout_seed": 5, "attn_mask": normal(1, 4, 1, 9, seed=8),
    },
}  # fmt: skip


def differentiable(name, backend, queries):
    """A function of q, k, v, sink and mask, and these."""
    kwargs = dict(KWARGS[name])
    variables = [each for each in ("sink", "attn_mask") if each in kwargs]
    extra = [kwargs.pop(each).clone().requires_grad_() for each in variables]

    def f(q, k, v, *extra):
        more = dict(zip(variables, extra, strict=True))
        O, L = attention(q, k, v, return_lse=True, backend=backend, **kwargs, **more)  # noqa: E741
        return O, L.masked_fill(-math.inf == L, 0)

    return f, (*qkv(queries=queries, grad=True), *extra)


def test_derivatives_are_held_with_every_option_of_flash():
    lacks = IN_USE.keys() - BACKENDS["flash"].has
    assert KWARGS["all"].keys() == MaskedArguments.__annotations__.keys() - {"scale", "backend"} - lacks


@pytest.mark.parametrize("queries", [7, 11])  # fewer and more than keys
@pytest.mark.parametrize("name", KWARGS)
def test_first_and_second_derivatives(name, queries, small_tiles):
    f, given = differentiable(name, "flash", queries)
    assert torch.autograd.gradcheck(f, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(f, given, fast_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", KWARGS)
def test_every_number_of_the_derivatives(name, small_tiles):
    f, given = differentiable(name, "flash", 7)
    assert torch.autograd.gradcheck(f, given)
    assert torch.autograd.gradgradcheck(f, given, atol=1e-5)


def test_the_second_derivative_is_that_of_standard():
    found = []
    for backend in EVERY:
        f, given = differentiable("all", backend, 7)
        O, L = f(*given)  # noqa: E741
        first = torch.autograd.grad(O.square().sum() + L.sum(), given, create_graph=True)
        found.append(torch.autograd.grad(sum(x.square().sum() for x in first), given))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_third_derivative_is_refused_and_never_silently_wrong():
    q, k, v = qkv(grad=True)
    (first,) = torch.autograd.grad(attention(q, k, v, backend="flash").square().sum(), q, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), q, create_graph=True)
    with pytest.raises(Refused, match="flash has no third derivative; it is in standard"):
        torch.autograd.grad(second.sum(), q)


combinations = st.builds(
    Shape,
    queries=st.integers(1, 40),
    keys=st.integers(1, 40),
    causal=st.booleans(),
    d=st.sampled_from([4, 17, 32]),
    heads=st.sampled_from([2, 6]),
    kv_heads=st.sampled_from([1, 2]),
    mask=st.sampled_from(["", "boolean", "additive", "rows masked"]),
    layout=st.sampled_from(["", "strided", "transposed", "padded", "expanded"]),
    window=st.none() | st.tuples(st.integers(-1, 20), st.integers(-1, 20)),
    softcap=st.sampled_from([0.0, 0.0, 2.0, 15.0]),
    features=st.sets(st.sampled_from(["sink", "alibi", "top-left", "large"])).map(lambda s: tuple(sorted(s))),
    d_v=st.none() | st.sampled_from([3, 24]),
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(shape=combinations, rows=st.integers(1, 17), keys=st.integers(1, 17))
def test_any_combination_by_the_rule(dtype, shape, rows, keys):
    q, k, v = (normal(1, 1, 2, 4, seed=i, dtype=dtype) for i in range(3))
    options = inputs(Shape(2, 2, d=4), dtype).options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flash_backend, "plan", lambda *a, **k: Plan(rows, keys, kv_heads=1))
        check(by_name("flash"), q, k, v, options, gradients=True, shapes=[shape], of_options=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", LONG, ids=str)
def test_long_shapes_by_the_rule(shape, dtype):
    q, k, v = (normal(1, 1, 2, 4, seed=i, dtype=dtype) for i in range(3))
    options = inputs(Shape(2, 2, d=4), dtype).options
    gradients = dtype == torch.float32
    check(by_name("flash"), q, k, v, options, gradients=gradients, shapes=[shape], of_options=True)


@pytest.mark.parametrize("name", [*EVERY, "flex"])
@pytest.mark.parametrize("queries, keys", [(6, 6), (4, 7), (7, 4)])
@pytest.mark.parametrize("align", ["bottom-right", "top-left"])
def test_band_and_alibi_are_the_masks_that_one_would_write(name, queries, keys, align):
    q, k, v = qkv(queries=queries, keys=keys)
    position = torch.arange(queries)[:, None] + (keys - queries if align == "bottom-right" else 0)
    far = torch.arange(keys) - position
    for kwargs, mask in (
        ({"causal": True}, far <= 0),
        ({"window_size": (2, 1)}, (far >= -2) & (far <= 1)),
        ({"window_size": (-1, 1)}, far <= 1),
        ({"window_size": 2, "causal": True}, (far >= -2) & (far <= 0)),
    ):
        expected = attention(q, k, v, attn_mask=mask, backend="standard")
        torch.testing.assert_close(attention(q, k, v, **kwargs, align=align, backend=name), expected)
    for slopes in (SLOPES, SLOPES[None] * 3):
        bias = -slopes.view(1, 4, 1, 1) * far.abs()
        expected = attention(q, k, v, attn_mask=bias, backend="standard")
        torch.testing.assert_close(
            attention(q, k, v, alibi_slopes=slopes, align=align, backend=name), expected
        )


@pytest.mark.parametrize("name", [*EVERY, "flex", "flash-numba"])
@pytest.mark.parametrize("queries", [7, 40])
def test_each_element_of_a_batch_is_as_if_it_were_alone(name, queries):
    """With slopes and a mask of its own."""
    if name == "flash-numba":
        pytest.importorskip("numba")
    q, k, v = (x.float() for x in qkv(queries=queries, keys=50, batch=3))
    slopes, mask = normal(3, 4, seed=1).abs().float(), normal(3, 1, queries, 50, seed=2).float()
    kwargs = {"alibi_slopes": slopes, "attn_mask": mask, "causal": True}
    together = attention(q, k, v, **kwargs, backend=name)
    for b in range(3):
        own = {"alibi_slopes": slopes[b], "attn_mask": mask[b], "causal": True}
        alone = attention(*(x[b : b + 1] for x in (q, k, v)), **own, backend="standard")
        torch.testing.assert_close(together[b : b + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_a_sink_is_a_key_whose_value_is_nothing(name):
    q, k, v = qkv(queries=9, keys=5)
    sink = normal(4, seed=9)
    S = q @ k.repeat_interleave(2, 1).mT * 3**-0.5
    S = S.masked_fill(~torch.ones(9, 5, dtype=torch.bool).tril(-4), -math.inf)
    S = torch.cat([S, sink.view(1, 4, 1, 1).expand(1, 4, 9, 1)], -1)
    expected = torch.softmax(S, -1)[..., :5] @ v.repeat_interleave(2, 1)
    output, lse = attention(q, k, v, causal=True, sink=sink, return_lse=True, backend=name)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(lse, torch.logsumexp(S, -1))
    assert not output[:, :, :4].any()  # these see the sink alone
    nothing = attention(q, k, v, sink=torch.full((4,), -math.inf), backend=name)
    torch.testing.assert_close(nothing, attention(q, k, v, backend=name))


def test_a_window_computes_what_it_sees_and_little_more():
    window = Band(0, low=-256, high=0)
    assert computed_scores(4096, 4096, window) < 4096 * (256 + 2 * 128)
    assert computed_scores(8192, 8192, window) / computed_scores(4096, 4096, window) < 2.05


def test_what_dropout_drops():
    kept = kept_of_all(0.25, 3, (2, 3, 300, 200), torch.device("cpu"))
    n = kept.numel()
    assert abs(kept.mean().item() - 0.75) < 5 * math.sqrt(0.75 * 0.25 / n)
    # Sums over rows, columns, and corners of rectangles, in which a bad mixture of row and column would show.
    x = (kept - 0.75) / math.sqrt(0.75 * 0.25)
    for dim in (0, 1, 2, 3):
        sums = x.sum(dim) / math.sqrt(x.shape[dim])
        assert sums.square().mean().item() == pytest.approx(1, abs=0.05)
    corners = x[:, :, :-1, :-1] * x[:, :, 1:, :-1] * x[:, :, :-1, 1:] * x[:, :, 1:, 1:]
    for product in (
        corners,
        x[0] * x[1],
        x[:, 0] * x[:, 1],
        x[:, :, 1:] * x[:, :, :-1],
        x[..., 1:] * x[..., :-1],
    ):
        assert abs(product.mean().item()) < 5 / math.sqrt(product.numel())


def test_the_same_seed_drops_the_same_whatever_the_tiles(small_tiles):
    q, k, v = qkv(batch=2)
    kwargs = {"dropout_p": 0.4, "dropout_seed": 11}
    ours = attention(q, k, v, **kwargs, backend="flash")
    torch.testing.assert_close(ours, attention(q, k, v, **kwargs, backend="standard"))
    assert not torch.allclose(ours, attention(q, k, v, dropout_p=0.4, dropout_seed=12, backend="flash"))
    # An element of a batch is dropped as if it were alone, and no two alike.
    same = [x[:1].expand(2, -1, -1, -1) for x in (q, k, v)]
    both = attention(*same, **kwargs, backend="flash")
    torch.testing.assert_close(both[:1], attention(q[:1], k[:1], v[:1], **kwargs, backend="flash"))
    assert not torch.allclose(both[0], both[1])
    torch.manual_seed(4)
    first = attention(q, k, v, dropout_p=0.4, backend="flash")
    torch.manual_seed(4)
    torch.testing.assert_close(attention(q, k, v, dropout_p=0.4, backend="standard"), first)


def test_dropout_is_right_on_average():
    q, k, v = qkv()
    many = torch.stack(
        [attention(q, k, v, dropout_p=0.2, dropout_seed=seed, backend="flash") for seed in range(400)]
    )
    expected = attention(q, k, v, backend="flash")
    off = (many.mean(0) - expected) / (many.std(0) / 20)
    assert off.abs().max() < 5


def test_the_backward_pass_gives_the_same_bits_every_time():
    q, k, v = (x.float().requires_grad_() for x in qkv(queries=300, keys=300, d=32, d_v=32))
    found = [
        torch.autograd.grad(
            attention(
                q, k, v, causal=True, softcap=5.0, dropout_p=0.1, dropout_seed=1, backend="flash"
            ).sum(),
            (q, k, v),
        )
        for _ in range(20)
    ]
    assert all(torch.equal(a, b) for each in found for a, b in zip(each, found[0], strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_a_nan_behind_a_boolean_mask_does_not_leak(name):
    q, k, v = qkv(queries=6, keys=6)
    k[0, 0, 4] = math.nan
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[:, 4] = False
    for kwargs in ({"attn_mask": mask}, {"window_size": (6, -1), "causal": True, "attn_mask": mask}):
        assert attention(q, k, v, **kwargs, backend=name).isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_a_log_sum_exp_far_below_0(name):
    q, k, v = (x.float().requires_grad_() for x in qkv(2, 2, 192, 192, 8, 8))
    output, lse = attention(q - 40, k.abs() + 1, v, return_lse=True, backend=name)
    assert lse.max() < -88.7 and output.isfinite().all()
    for gradient in torch.autograd.grad(output.sum() + lse.sum(), (q, k, v)):
        assert gradient.isfinite().all()


def test_flex_refuses_what_it_lacks():
    q, k, v = qkv(grad=True)
    with pytest.raises(Refused, match="flex has no sink; it is in standard, flash"):
        attention(q, k, v, sink=torch.zeros(4), backend="flex")
    with pytest.raises(Refused, match="flex has no gradients on a CPU; they are in standard"):
        attention(q, k, v, backend="flex")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"align": "top"}, "align is 'top'; it must be 'bottom-right' or 'top-left'"),
        (
            {"alibi_slopes": torch.ones(3)},
            r"alibi_slopes has shape \(3,\), but q has a batch of 1 and 4 heads",
        ),
        ({"alibi_slopes": torch.ones(4, requires_grad=True)}, "alibi_slopes wants a gradient"),
        ({"alibi_slopes": [1.0]}, "alibi_slopes is list; it must be a tensor"),
        ({"sink": torch.ones(4, dtype=torch.int64)}, "sink is int64; it must be a tensor of floating"),
        ({"dropout_p": 0.1, "dropout_seed": 1.5}, "dropout_seed is 1.5; it must be a whole number"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        attention(*qkv(), **options)


def test_auto_takes_one_that_has_what_is_asked():
    q, k, v = qkv()
    for name, kwargs in KWARGS.items():
        expected = attention(q, k, v, **kwargs, backend="standard")
        if name not in ("dropout", "all"):
            torch.testing.assert_close(attention(q, k, v, **kwargs), expected)
        assert attention(q, k, v, **kwargs).shape == expected.shape
    assert len(SHAPES) > 40
