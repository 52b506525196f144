"""The compiled kernels, held to float64 attention and to the rule of the battery."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("numba")

from lab.core.attention import attention
from lab.core.attention.arguments import Options
from lab.core.attention.checks import battery
from lab.core.attention.checks.shapes import FURTHER, SHAPES, Shape, inputs
from lab.core.attention.registry import by_name
from lab.core.trial import Refused


def normal(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def both(q: Tensor, k: Tensor, v: Tensor, **options: object) -> list[tuple[Tensor, Tensor]]:
    """Output, log-sum-exp and gradients through both, ours and those of standard attention in float64: in pairs."""
    found = []
    for backend, dtype in (("flash-numba", torch.float32), ("standard", torch.float64)):
        given = [x.detach().to(dtype).requires_grad_() for x in (q, k, v)]
        kwargs = dict(options)
        mask = kwargs.get("attn_mask")
        if isinstance(mask, Tensor) and mask.dtype != torch.bool:
            kwargs["attn_mask"] = mask.to(dtype)
        sink = kwargs.get("sink")
        if isinstance(sink, Tensor):
            kwargs["sink"] = sink.to(dtype)
        output, lse = attention(*given, return_lse=True, backend=backend, **kwargs)  # type: ignore[call-overload]
        is_finite = lse.isfinite()
        weights = torch.cos(torch.arange(output.numel(), dtype=dtype)).view(output.shape)
        loss = (output * weights).sum() + torch.where(is_finite, lse, 0).sin().sum()
        found.append([output, lse, *torch.autograd.grad(loss, given)])
    return [(mine.detach(), true.detach()) for mine, true in zip(*found, strict=True)]


def assert_close(pairs: list[tuple[Tensor, Tensor]]) -> None:
    for name, (mine, true) in zip(("O", "L", "dq", "dk", "dv"), pairs, strict=True):
        assert mine.dtype == torch.float32 and mine.shape == true.shape, name
        torch.testing.assert_close(
            mine.double(), true, rtol=2e-5, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["dense", "causal"])
def test_battery_passes(dtype: torch.dtype, causal: bool) -> None:
    q, k, v = (x.to(dtype) for x in normal(*[(1, 2, 300, 64)] * 3))
    shapes = (*SHAPES, *FURTHER) if causal else ()
    function = by_name("flash-numba")
    found = battery.check(function, q, k, v, Options(causal, 0.125), gradients=True, shapes=shapes)
    assert found["cases"] > found["refused"] and found["nan_astray"] == 0
    assert found["error_of_allowed"] <= 1 and found["grad_error_of_allowed"] <= 1


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(1, 200),
    keys=st.integers(1, 300),
    d=st.integers(1, 80),
    d_v=st.integers(1, 80),
    heads=st.sampled_from([(1, 1), (4, 2), (3, 1)]),
    causal=st.booleans(),
    window=st.none() | st.tuples(st.integers(-1, 90), st.integers(-1, 90)),
    mask=st.sampled_from(["", "of keys", "of queries", "of pairs", "turned", "of blocks"]),
    added=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
)
def test_any_shape(
    queries: int,
    keys: int,
    d: int,
    d_v: int,
    heads: tuple[int, int],
    causal: bool,
    window: tuple[int, int] | None,
    mask: str,
    added: bool,
    threads: int,
) -> None:
    q, k, v = normal((2, heads[0], queries, d), (2, heads[1], keys, d), (2, heads[1], keys, d_v))
    attn_mask: Tensor | None = None
    if mask:
        shape = {
            "of keys": (heads[0], 1, keys),
            "of queries": (heads[0], queries, 1),
            "turned": (heads[0], keys, queries),
        }.get(mask, (1, queries, keys))
        attn_mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.7
        if mask == "turned":
            attn_mask = attn_mask.mT
        if mask == "of blocks":  # whole tiles are seen, or not
            attn_mask = (torch.arange(queries)[:, None] // 64 + torch.arange(keys) // 128) % 2 == 0
        if added:
            attn_mask = torch.where(attn_mask, 0.5, -math.inf)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_close(both(q, k, v, causal=causal, window_size=window, attn_mask=attn_mask))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("align", ["bottom-right", "top-left"])
def test_all_that_may_be_asked_together_with_the_gradient_of_the_sink(align: str) -> None:
    given = normal((2, 4, 90, 32), (2, 2, 110, 32), (2, 2, 110, 24), (4,))
    found = []
    for backend, dtype in (("flash-numba", torch.float32), ("standard", torch.float64)):
        q, k, v, sink = (x.to(dtype).requires_grad_() for x in given)
        kwargs = {"causal": True, "align": align, "window_size": (40, 0), "softcap": 2.0, "sink": sink}
        kwargs |= {"alibi_slopes": torch.tensor([0.5, 0.25, 0.1, 0.0]), "dropout_p": 0.3, "dropout_seed": 4}
        output, lse = attention(q, k, v, **kwargs, return_lse=True, backend=backend)  # type: ignore[call-overload]
        loss = output.square().sum() + lse.sin().sum()  # both of them change the sink's
        found.append([output, lse, *torch.autograd.grad(loss, (q, k, v, sink))])
    for mine, true in zip(*found, strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=2e-5, atol=2e-5)


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same numbers, elsewhere in memory."""
    if layout == "strided":
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "transposed":
        return x.mT.contiguous().mT
    if layout == "padded":
        return torch.nn.functional.pad(x, (1, 2), value=math.nan)[..., 1:-2]
    return x


MASK = torch.ones(90, 90, dtype=torch.bool)
MASK[:, 70] = False
MASKED_BY = {
    "causal": {"causal": True},
    "window": {"window_size": (-1, 3)},
    "boolean": {"attn_mask": MASK},
    "added": {"attn_mask": torch.zeros(90, 90).masked_fill(~MASK, -math.inf)},
    "dropout": {"attn_mask": MASK, "dropout_p": 0.4, "dropout_seed": 3},
    "softcap": {"attn_mask": MASK, "softcap": 2.0, "alibi_slopes": torch.tensor([0.5, 0.1])},
}
"""Of 90 queries the first 60 do not see the key 70; with a mask none does."""


@pytest.mark.parametrize("masked_by", MASKED_BY)
@pytest.mark.parametrize("bad", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("layout", ["", "strided", "transposed", "padded"])
def test_what_a_masked_key_holds_changes_nothing(masked_by: str, bad: float, layout: str) -> None:
    q, k, v = normal(*[(1, 2, 90, 16)] * 3)
    rows = 90 if "attn_mask" in MASKED_BY[masked_by] else 60
    found = []
    for number in (0.0, bad):
        K, V = k.clone(), v.clone()
        K[:, :, 70], V[:, :, 70] = number, number
        given = [laid_out(x, layout).detach().requires_grad_() for x in (q, K, V)]
        output = attention(*given, **MASKED_BY[masked_by], backend="flash-numba")[:, :, :rows]  # type: ignore[call-overload]
        dq, dk, dv = torch.autograd.grad(output.square().sum(), given)
        # What sees the key is NaN, and so is the gradient of each key that it sees besides.
        found.append((output, dq[:, :, :rows], *((dk, dv) if rows == 90 else ())))
    for clean, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, clean)


@pytest.mark.parametrize("row", [20, 80])
@pytest.mark.parametrize("masked_by", ["causal", "window", "boolean", "added"])
def test_a_query_of_nan_reaches_no_key_that_it_may_not_attend_to(masked_by: str, row: int) -> None:
    q, k, v = normal((1, 2, 90, 16), (1, 1, 90, 16), (1, 1, 90, 12))
    mask = torch.ones(90, 90, dtype=torch.bool)
    mask[row, row + 5 :] = False
    kwargs = {
        "causal": {"causal": True},
        "window": {"window_size": (-1, 4)},
        "boolean": {"attn_mask": mask},
        "added": {"attn_mask": torch.zeros(90, 90).masked_fill(~mask, -math.inf)},
    }[masked_by]
    first = row + (1 if masked_by == "causal" else 5)
    found = []
    for number in (0.0, math.nan):
        Q = q.clone()
        Q[:, :, row, 3] = number
        given = [x.clone().requires_grad_() for x in (Q, k, v)]
        output = attention(*given, **kwargs, backend="flash-numba")  # type: ignore[call-overload]
        dq, dk, dv = torch.autograd.grad(output.square().sum(), given)
        found.append((output, dq, dk, dv))
    for name, clean, mine in zip(("O", "dq", "dk", "dv"), *found, strict=True):
        positions = torch.arange(90)
        spoilt = positions == row if name in ("O", "dq") else positions < first
        assert bool(mine[:, :, spoilt].isnan().all()), name
        torch.testing.assert_close(mine[:, :, ~spoilt], clean[:, :, ~spoilt])


def test_nan_behind_a_probability_too_small_for_float32_is_seen() -> None:
    q, k, v = normal(*[(1, 1, 20, 16)] * 3)
    k[:, :, 3] = -1000 * torch.nn.functional.normalize(q.sum(2), dim=-1)
    q = (
        q.abs() * k[:, :, 3].sign().neg()[:, :, None]
    )  # every query has a score far below the others for this key
    v[:, :, 3] = math.nan
    output = attention(q, k, v, causal=True, backend="flash-numba")
    assert bool(output[:, :, :3].isfinite().all()) and bool(output[:, :, 3:].isnan().all())


DTYPES = (torch.float32, torch.bfloat16, torch.float16)
combinations = st.builds(
    Shape,
    queries=st.integers(1, 150),
    keys=st.integers(1, 150),
    causal=st.booleans(),
    d=st.sampled_from([4, 17, 32]),
    heads=st.sampled_from([2, 6]),
    kv_heads=st.sampled_from([1, 2]),
    mask=st.sampled_from(["", "", "boolean", "additive", "rows masked"]),
    layout=st.sampled_from(["", "strided", "transposed", "padded", "expanded"]),
    window=st.none() | st.tuples(st.integers(-1, 90), st.integers(-1, 90)),
    softcap=st.sampled_from([0.0, 0.0, 2.0, 15.0]),
    features=st.sets(st.sampled_from(["sink", "alibi", "top-left"])).map(lambda s: tuple(sorted(s))),
    d_v=st.none() | st.sampled_from([3, 24]),
)


@settings(max_examples=40, deadline=None)
@given(shape=combinations, dropout=st.sampled_from([0.0, 0.3]), dtype=st.sampled_from(DTYPES))
def test_combinations_of_all_that_may_be_asked(shape: Shape, dropout: float, dtype: torch.dtype) -> None:
    given = inputs(shape, dtype)
    options = replace(given.options, dropout_p=dropout, dropout_seed=7 if dropout else None)
    function = by_name("flash-numba")
    found = battery.check(function, given.q, given.k, given.v, options, gradients=True, shapes=())
    assert found["refused"] == 0 and found["error_of_allowed"] <= 1 and found["grad_error_of_allowed"] <= 1


FEW_QUERIES = {
    "plain": {},
    "causal": {"causal": True},
    "window": {"window_size": (700, 2)},
    "top-left": {"causal": True, "align": "top-left"},
    "softcap and sink": {"softcap": 3.0, "sink": torch.tensor([0.5, -1.0, 2.0, 9.0])},
    "alibi": {"causal": True, "alibi_slopes": torch.tensor([[0.5, 0.1, 0.01, 0.0]])},
    "mask": {"attn_mask": torch.rand(4, 1, 1300, generator=torch.Generator().manual_seed(1)) < 0.6},
}


@pytest.mark.parametrize("kwargs", FEW_QUERIES)
@pytest.mark.parametrize(("queries", "kv_heads", "d", "d_v"), [(1, 2, 64, 64), (5, 4, 16, 24), (3, 1, 20, 7)])
def test_few_queries_beside_keys_in_parts(kwargs: str, queries: int, kv_heads: int, d: int, d_v: int) -> None:
    q, k, v = normal((1, 4, queries, d), (1, kv_heads, 1300, d), (1, kv_heads, 1300, d_v))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(both(q, k, v, **FEW_QUERIES[kwargs]))
    finally:
        torch.set_num_threads(before)
    assert_close(found[0])
    assert torch.equal(found[0][0][0], found[1][0][0]) and torch.equal(found[0][1][0], found[1][1][0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_the_empty_end_of_a_cache_holds_changes_nothing(bad: float) -> None:
    q, k, v = normal((1, 4, 1, 32), (1, 2, 1100, 32), (1, 2, 1100, 32))
    k[:, :, 700:], v[:, :, 700:] = bad, bad
    mask = torch.arange(1100) < 700
    output, lse = attention(q, k, v, attn_mask=mask, return_lse=True, backend="flash-numba")
    true, true_lse = attention(q, k[:, :, :700], v[:, :, :700], return_lse=True, backend="standard")
    torch.testing.assert_close(output, true)
    torch.testing.assert_close(lse, true_lse)


def test_auto_takes_it_for_what_pytorch_lacks_once_it_is_compiled() -> None:
    from lab.core.attention.numba import backend

    q, k, v = normal(*[(1, 1, 512, 16)] * 3)
    kwargs = {"causal": True, "softcap": 2.0, "window_size": (100, 0)}
    ours = attention(q, k, v, **kwargs, backend="flash-numba")  # type: ignore[call-overload]
    flash = attention(q, k, v, **kwargs, backend="flash")  # type: ignore[call-overload]
    taken = attention(q, k, v, **kwargs)  # type: ignore[call-overload]
    assert not torch.equal(ours, flash)  # or nothing would be seen
    assert torch.equal(taken, ours if backend.is_warm(gradients=False) else flash)


def test_calls_are_equal_to_the_bit_on_several_threads() -> None:
    q, k, v = (x.requires_grad_() for x in normal((1, 2, 500, 64), (1, 1, 500, 64), (1, 1, 500, 64)))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = []
        for _ in range(20):
            output = attention(q, k, v, causal=True, backend="flash-numba")
            runs.append([output, *torch.autograd.grad(output.square().sum(), (q, k, v))])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for run in runs for a, b in zip(runs[0], run, strict=True))


def test_output_does_not_depend_on_the_number_of_threads() -> None:
    q, k, v = normal(*[(2, 3, 333, 48)] * 3)
    before = torch.get_num_threads()
    outputs = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            outputs.append(attention(q, k, v, causal=True, backend="flash-numba"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(outputs[0], each) for each in outputs)


def test_rows_that_see_nothing_are_zero_with_finite_gradients() -> None:
    q, k, v = (x.requires_grad_() for x in normal((1, 1, 90, 16), (1, 1, 20, 16), (1, 1, 20, 16)))
    output, lse = attention(q, k, v, causal=True, return_lse=True, backend="flash-numba")
    assert bool((output[:, :, :70] == 0).all()) and bool(lse[:, :, :70].isneginf().all())
    gradients = torch.autograd.grad(output.square().sum(), (q, k, v))
    assert all(bool(each.isfinite().all()) for each in gradients)
    assert bool((gradients[0][:, :, :70] == 0).all())


def test_nan_stays_in_its_row_whatever_its_bits() -> None:
    q, k, v = normal(*[(1, 1, 130, 32)] * 3)
    q[0, 0, 70, 3] = torch.tensor([0x7FC00123], dtype=torch.int32).view(torch.float32)[0]
    output, lse = attention(q, k, v, return_lse=True, backend="flash-numba")
    where = output.isnan().any(-1).nonzero()[:, 2].tolist()
    assert where == [70] and lse.isnan().nonzero()[:, 2].tolist() == [70]


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_large_scores_do_not_overflow(size: float) -> None:
    q, k, v = normal(*[(1, 1, 129, 64)] * 3)
    output, lse = attention(q * size, k, v, return_lse=True, backend="flash-numba")
    true, true_lse = attention(
        (q * size).double(), k.double(), v.double(), return_lse=True, backend="standard"
    )
    assert bool(output.isfinite().all())
    torch.testing.assert_close(lse.double(), true_lse, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(output.double(), true, rtol=1e-3, atol=1e-3)


def test_a_loss_on_the_log_sum_exp_alone_leaves_the_values_alone() -> None:
    q, k, v = (x.requires_grad_() for x in normal(*[(1, 1, 70, 16)] * 3))
    _, lse = attention(q, k, v, return_lse=True, backend="flash-numba")
    dq, dk, dv = torch.autograd.grad(lse.sum(), (q, k, v))
    assert bool((dv == 0).all()) and bool(dq.abs().max() > 0) and bool(dk.abs().max() > 0)


def test_exponential_polynomial_is_as_exact_as_float32() -> None:
    import numpy as np
    from numba import njit

    from lab.core.compiled.exponential import exp2

    @njit  # type: ignore[untyped-decorator]
    def each(x, y):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            y[i] = exp2(x[i])

    x = np.concatenate([np.linspace(-126, 0, 200_001), np.linspace(-1, 1, 200_001)]).astype(np.float32)
    y = np.empty_like(x)
    each(x, y)
    true = np.exp2(x.astype(np.float64))
    assert float(np.abs(y / true - 1).max()) < 1.5 * 2**-23
    ends = np.array([0, -127, -1000, -np.inf, np.nan], dtype=np.float32)
    each(ends, y[:5])
    assert y[:4].tolist() == [1, 0, 0, 0] and bool(np.isnan(y[4]))


def test_what_it_lacks_is_refused_by_name() -> None:
    q, k, v = normal(*[(1, 1, 8, 8)] * 3)
    with pytest.raises(Refused, match="flash-numba has no float64; it is in standard, flash, sdpa"):
        attention(q.double(), k.double(), v.double(), backend="flash-numba")
    with pytest.raises(Refused, match="flash-numba has no gradient of attn_mask; it is in standard"):
        attention(q, k, v, attn_mask=torch.zeros(8, 8, requires_grad=True), backend="flash-numba")
    q.requires_grad_()
    output = attention(q, k, v, backend="flash-numba")
    (dq,) = torch.autograd.grad(output.square().sum(), q, create_graph=True)
    with pytest.raises(Refused, match="no second derivative"):
        torch.autograd.grad(dq.sum(), q)


def test_importing_the_registry_loads_no_numba_and_its_absence_is_said() -> None:
    code = (
        "import sys\n"
        "import importlib.abc\n"
        "from lab.core.attention import attention\n"
        "from lab.core.trial import Refused\n"
        "assert 'numba' not in sys.modules\n"
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "import lab.core.compiled.code as door\n"
        "door.find_spec = lambda name: None if name == 'numba' else found(name)\n"
        "import torch\n"
        "q = torch.ones(1, 1, 2, 2)\n"
        "try:\n    attention(q, q, q, backend='flash-numba')\n"
        "except Refused as refused:\n    print(refused)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "flash-numba needs Numba: pip install numba"
