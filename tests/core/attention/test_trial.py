"""One point of the experiment: checks, counts, refusals, and a user's own file."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lab.core.attention.checks.shapes import SHAPES
from lab.core.attention.trial import Params, case
from lab.core.trial import Refused, Wrong


@pytest.fixture
def context(tmp_path):
    def load(reference):
        path, _, name = reference.rpartition(":")
        spec = importlib.util.spec_from_file_location("users_own", tmp_path / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, name)

    return SimpleNamespace(folder=tmp_path, variant="flash", seed=0, device="cpu", threads=1, load=load)


def user_case(context, source, **params):
    (context.folder / "mine.py").write_text(f"import torch\nfrom torch.nn.functional import *\n{source}\n")
    return case(Params(seq_len=70, heads=2, implementation="./mine.py:f", **params), context)


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.attention.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


@pytest.mark.parametrize("direction", ["fwd", "fwd+bwd"])
@pytest.mark.parametrize("name", ["standard", "flash", "sdpa"])
def test_a_point(context, name, direction):
    made = case(
        Params(seq_len=70, heads=2, implementation=name, direction=direction, causal=True, shapes=False),
        context,
    )
    made.call()
    metrics = made.check()
    assert metrics["error"] <= metrics["error_allowed"]
    assert ("grad_error_ratio" in metrics) == (direction == "fwd+bwd")
    assert ("traffic" in metrics) == (name != "sdpa")
    assert ("paper_traffic" in metrics) == (name != "sdpa")
    assert (made.kernel and made.kernel()) == ("flash" if name == "sdpa" else None)
    assert made.work["operations"] == 4 * 2 * (70 * 71 // 2) * 64 * (1 if direction == "fwd" else 3.5)


def test_the_traffic_of_figure_2_depends_on_the_fast_memory_that_is_asked_for(context):
    def gigabytes(name, kilobytes):
        params = Params(seq_len=8, implementation=name, onchip_bytes=kilobytes * 1024, shapes=False)
        return case(params, context).check()["paper_traffic"]

    assert gigabytes("flash", 100) == pytest.approx(7.86, abs=0.01)
    assert gigabytes("flash", 192) == pytest.approx(4.61, abs=0.01)
    assert gigabytes("standard", 100) == gigabytes("standard", 192) == pytest.approx(25.2, abs=0.05)


def test_refusals(context):
    with pytest.raises(Refused, match="Did you mean flash"):
        case(Params(implementation="flahs"), context)
    with pytest.raises(Refused, match="gradients only up to 512.*-s longest_backward="):
        case(Params(seq_len=513, longest_backward=512, direction="fwd+bwd"), context)
    assert case(Params(seq_len=513, longest_backward=512), context)


SDPA = "scaled_dot_product_attention"


def test_a_users_own_function_in_their_layout(context):
    metrics = user_case(
        context,
        f"""layout = "bshd"
def f(q, k, v, causal=False, softmax_scale=None):
    if q.shape[2] != k.shape[2]: raise NotImplementedError("no grouped heads")
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    mask, square = None, q.shape[2] == k.shape[2]
    if causal and not square:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
    return {SDPA}(q, k, v, attn_mask=mask, is_causal=causal and square, scale=softmax_scale).transpose(1, 2)""",
    ).check()
    refused = [
        shape
        for shape in SHAPES
        if shape.mask or shape.window or shape.softcap or shape.heads != shape.kv_heads
        or {"sink", "alibi", "top-left"} & {*shape.features}
    ]  # fmt: skip
    assert metrics["refused"] == len(refused) > 15
    assert metrics["cases"] == len(SHAPES) - len(refused) + 1


def test_a_wrong_alignment_is_found_and_named(context):
    made = user_case(
        context,
        f"def f(q, k, v, causal=False, scale=None): return {SDPA}(q, k, v, is_causal=causal, scale=scale, enable_gqa=True)",
    )
    with pytest.raises(Wrong, match=r"Nq=1 Nk=239 causal d=64 float32.*first bad row 0.*aligned top-left\?"):
        made.check()


def test_the_contract_stands_beside_a_case_that_breaks_it(context):
    nan = user_case(
        context,
        """def f(q, k, v, causal=False, scale=None):
    band = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
    s = (q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).mT) * scale
    s = s.masked_fill(~band, -torch.inf) if causal else s
    return s.softmax(-1) @ v.repeat_interleave(q.shape[1] // k.shape[1], 1)""",
    )
    with pytest.raises(Wrong, match=r"Nq=203 Nk=113 causal .*; rows 0–89 see no key; 0 is expected there"):
        nan.check()
    top_left = user_case(
        context,
        f"def f(q, k, v, causal=False, scale=None): return {SDPA}(q, k, v, is_causal=causal, scale=scale, enable_gqa=True)",
    )
    with pytest.raises(Wrong, match="causal is aligned bottom-right: the last query sees the last key"):
        top_left.check()


def test_rows_without_a_key_are_named_under_a_mask_and_without_any_keys():
    from lab.core.attention.checks.battery import check
    from lab.core.attention.checks.shapes import Shape, inputs
    from lab.core.attention.registry import by_name

    def nan_where_nothing_is_seen(q, k, v, options):
        output, lse = by_name("standard")(q, k, v, options)
        return output.masked_fill(lse.isneginf()[..., None], torch.nan), lse

    for shape, words in (
        (Shape(70, 90, mask="rows masked"), r"rows 0, 3, 6, … see no key"),
        (Shape(70, 69, causal=True), r"row 0 sees no key"),
        (Shape(5, 0), r"rows 0–4 see no key"),
    ):
        point = inputs(Shape(8, 8), torch.float32)
        with pytest.raises(Wrong, match=words):
            check(
                nan_where_nothing_is_seen,
                point.q,
                point.k,
                point.v,
                point.options,
                gradients=False,
                shapes=[shape],
            )


@pytest.mark.parametrize(
    "declared", ["square_only = True\ndef f(q, k, v, causal=False, scale=None):", "DECORATED"]
)
def test_a_function_for_square_shapes_is_refused_the_others(context, declared):
    body = f" return {SDPA}(q, k, v, is_causal=causal, scale=scale, enable_gqa=True)"
    head = "def f(q, k, v, causal=False, scale=None):"
    source = f"{declared}{body}" if declared != "DECORATED" else f"{head}{body}\nf.square_only = True"
    metrics = user_case(context, source, causal=True).check()
    assert metrics["refused"] >= sum(shape.queries != shape.keys for shape in SHAPES) > 20
    assert metrics["cases"] + metrics["refused"] == len(SHAPES) + 1
    with pytest.raises(Refused, match="takes as many queries as keys"):
        user_case(context, source, keys=71).check()
    with pytest.raises(ValueError, match="square_only is 'yes'; it must be True or False"):
        user_case(context, "square_only = 'yes'\ndef f(q, k, v): pass")


def test_a_causal_that_is_ignored_is_found(context):
    made = user_case(
        context, f"def f(q, k, v, causal=False, scale=None): return {SDPA}(q, k, v, scale=scale)", causal=True
    )
    with pytest.raises(Wrong, match="causal ignored"):
        made.check()


def test_what_the_point_needs_and_a_function_does_not_take_is_refused(context):
    with pytest.raises(Refused, match="takes no causal"):
        user_case(
            context, f"def f(q, k, v, scale=None): return {SDPA}(q, k, v, scale=scale)", causal=True
        ).check()
    with pytest.raises(ValueError, match="layout is 'sbhd'"):
        user_case(context, "layout = 'sbhd'\ndef f(q, k, v): pass")


@pytest.mark.parametrize("direction", ["fwd", "fwd+bwd"])
def test_what_is_compiled_tells_how_long_its_first_call_took(context, direction):
    pytest.importorskip("numba")
    of = Params(implementation="flash-numba", seq_len=64, sequences=2, shapes=False, direction=direction)
    assert case(of, context).check()["first_call"] > 0


def test_standard_attention_has_half_the_intensity_where_half_of_what_it_moves_is_used(context):
    def intensity(name, causal):
        of = Params(implementation=name, seq_len=512, causal=causal)
        return case(of, context).work["intensity"]

    assert intensity("standard", True) == pytest.approx(intensity("standard", False) * 513 / 1024)
    assert intensity("flash", True) == intensity("flash", False)
    assert intensity("flash", True) > 2 * intensity("standard", False)
