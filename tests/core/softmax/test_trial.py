"""One point of an experiment: inputs, checks, counts, refusals, and a user's own file."""

import importlib.util
import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lab.core.softmax import exp2
from lab.core.softmax.battery import Task
from lab.core.softmax.properties import merge_ulp, overflow_logit
from lab.core.softmax.registry import TRITON, implementations
from lab.core.softmax.trial import Params, case
from lab.core.trial import Refused, Wrong

CPU = torch.device("cpu")


@dataclass
class Context:
    """What the runner gives to a case: a seed, a device, and the functions of files in `folder`."""

    folder: Path
    variant: str = "safe"
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    recorded: list[dict[str, float]] = field(default_factory=list)

    def record(self, step=None, **metrics):
        self.recorded.append(metrics)

    def progress(self, done, of, what=""): ...

    def sample(self, step, text): ...

    def save(self, state): ...

    def restore(self):
        return None

    def cached(self, key, make):
        make(self.folder / key)
        return self.folder / key

    def load(self, reference):
        path, _, name = reference.rpartition(":")
        spec = importlib.util.spec_from_file_location("users_own", self.folder / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, name)


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path)


def check(context, **params):
    return case(Params(rows=8, **params), context).check()


def user_case(context, source, **params):
    (context.folder / "mine.py").write_text(f"import torch\n{source}\n")
    return case(Params(rows=8, columns=50, implementation="./mine.py:f", **params), context)


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.softmax.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_unknown_names_in_the_package_are_attribute_errors():
    import lab.core.softmax

    with pytest.raises(AttributeError, match="onlin"):
        _ = lab.core.softmax.onlin
    for name in lab.core.softmax.__all__:
        assert getattr(lab.core.softmax, name) is not None


@pytest.mark.parametrize("wrong", [{"colums": 3}, {"columns": 0}, {"dtype": "int8"}, {"output": "argmax"}])
def test_wrong_parameters(wrong):
    with pytest.raises(ValidationError):
        Params(**wrong)


BUILT_IN = [
    (output, name)
    for output in ("softmax", "log-softmax", "logsumexp", "top-k")
    for name in implementations(output)
    if name not in TRITON
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("output", "name"), BUILT_IN)
def test_every_built_in_one_passes(context, output, name, dtype):
    if name.startswith("reference") and dtype in ("float16", "bfloat16"):
        with pytest.raises(Refused, match="half precision"):
            check(context, implementation=name, output=output, dtype=dtype, columns=300)
        return
    if name in exp2.DEGREES and (dtype == "float64" or (dtype == "float32" and exp2.DEGREES[name] < 5)):
        with pytest.raises(Refused, match=f"good to .*: too coarse for {dtype}"):
            check(context, implementation=name, dtype=dtype, columns=300)
        return
    metrics = check(
        context, implementation=name, output=output, dtype=dtype, columns=300, stable="naive" not in name
    )
    assert metrics["error"] <= metrics["error_allowed"]
    assert ("overflow_logit" in metrics) == (name == "naive")


def test_naive_is_wrong_where_it_promises_to_be_stable(context):
    with pytest.raises(Wrong, match=r"softmax of logits around 10,000 and -10,000, float32"):
        check(context, implementation="naive")


def test_same_seed_same_logits(context):
    def result(implementation, seed):
        context.seed = seed
        return case(Params(rows=4, columns=30, implementation=implementation), context).call()

    torch.testing.assert_close(result("safe", 1), result("online", 1))
    assert not torch.allclose(result("safe", 1), result("safe", 2))


def test_the_variants_name_is_the_implementation(context):
    context.variant = "online"
    assert check(context)["error_allowed"] > 0
    context.variant = "onlin"
    with pytest.raises(
        Refused, match=r"no implementation 'onlin' for softmax. Did you mean online\? There are: naive, safe"
    ):
        case(Params(), context)


def test_refusals(context):
    with pytest.raises(Refused, match="one element at a time: at most 1,024 columns"):
        case(Params(implementation="reference-safe", columns=4097), context)
    with pytest.raises(Refused, match="k = 5 of only 4 columns"):
        case(Params(output="top-k", columns=4), context)


@pytest.mark.parametrize(
    ("output", "name", "accesses"),
    [
        ("softmax", "naive", 3),
        ("softmax", "safe", 4),
        ("softmax", "online", 3),
        ("softmax", "merge", 3),
        ("softmax", "two-pass", 3),
        ("top-k", "safe", 5 + 2 * 5 / 1000),
        ("top-k", "online", 1 + 2 * 5 / 1000),
    ],
)
def test_counted_accesses(context, output, name, accesses):
    metrics = check(
        context, implementation=f"reference-{name}", output=output, columns=1000, stable=name != "naive"
    )
    assert metrics["accesses_per_element"] == accesses
    assert metrics["loads_per_element"] + metrics["stores_per_element"] == pytest.approx(accesses)


def test_counted_operators(context):
    safe = check(context, implementation="safe", columns=1000)
    assert safe["operator_accesses_per_element"] == 8 + 4 / 1000  # 5MN + 2M read, 3MN + 2M written
    assert safe["exps_per_element"] == 1
    naive = check(context, implementation="naive", columns=1000, stable=False)
    assert naive["operator_accesses_per_element"] == 5 + 2 / 1000
    assert "operator_accesses_per_element" not in check(context, implementation="torch")


def test_eager_counts_what_safe_does_and_holds_more(context):
    eager = check(context, implementation="eager", columns=1000)
    assert eager["operator_accesses_per_element"] == 8 + 4 / 1000
    assert eager["exps_per_element"] == 1


def test_what_only_some_are_asked(context):
    found = check(context, implementation="exp2-poly-3", dtype="bfloat16")
    assert found["exp_error"] == pytest.approx(8.77e-5, rel=1e-3)
    assert found["exp_error_bfloat16"] == pytest.approx(2**-8, rel=0.01)
    assert check(context, implementation="safe-numba")["exp_error"] < 1.2e-7
    assert check(context, implementation="online-numba")["first_call"] > 0
    for output in ("log-softmax", "logsumexp", "top-k"):
        assert check(context, implementation="online-numba", output=output)["first_call"] > 0


def next_after(value, dtype, towards):
    return torch.nextafter(torch.tensor(value, dtype=dtype), torch.tensor(towards, dtype=dtype)).item()


@pytest.mark.parametrize("output", ["softmax", "log-softmax", "logsumexp", "top-k"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_naive_overflows_where_the_dtype_ends(output, dtype):
    found = overflow_logit(Task(output, 2, implementations(output)["naive"].function), dtype, CPU)
    limit = math.log(torch.finfo(dtype).max)
    # The first number above the limit, or its neighbour: an exponential may be a unit in the last place off.
    above = torch.tensor(limit, dtype=dtype).item()
    above = above if above > limit else next_after(above, dtype, math.inf)
    assert next_after(above, dtype, 0.0) <= found <= next_after(above, dtype, math.inf)


def test_overflow_in_plain_numbers():
    naive = Task("softmax", 2, implementations("softmax")["naive"].function)
    assert overflow_logit(naive, torch.float16, CPU) == 11.09375
    assert overflow_logit(naive, torch.bfloat16, CPU) == 89.0
    assert overflow_logit(naive, torch.float32, CPU) == pytest.approx(88.7228, abs=1e-4)
    assert overflow_logit(naive, torch.float64, CPU) == pytest.approx(709.7827, abs=1e-4)
    clipped = Task("softmax", 2, lambda x, dim: torch.softmax(x.where(x < 1000, math.nan), dim))
    assert overflow_logit(clipped, torch.float32, CPU) == 1000.0


def test_merging_in_any_order_differs_by_roundings_only(context):
    assert merge_ulp(torch.float32, seed=0) < 8
    assert check(context, implementation="reference-merge")["merge_ulp"] < 8


def test_least_work(context):
    assert case(Params(rows=2, columns=10), context).work == {"bytes": 160.0, "elements": 20.0}
    assert case(Params(rows=2, columns=10, output="logsumexp"), context).work["bytes"] == 88.0
    assert case(Params(rows=2, columns=10, output="top-k", k=3), context).work["bytes"] == 80.0 + 2 * 3 * 12


@pytest.mark.parametrize(
    "source",
    [
        "def f(x, dim=-1): return torch.softmax(x, dim)",
        "def f(x): return torch.softmax(x, -1)",
        "def f(x, **options): return torch.softmax(x, **options)",
        "f = torch.nn.Softmax(-1)",
        # 1/d and a multiplication: a rounding more, and right
        "def f(x, dim=-1):\n e = (x - x.amax(dim, True)).exp()\n return e * (1 / e.sum(dim, True))",
    ],
)
def test_a_users_right_softmax(context, source):
    assert user_case(context, source).check()["error_ratio"] < 3


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("def f(x, dim=-1): return x.sigmoid()", "5 rows × 1 column, "),
        ("def f(x): return torch.softmax(x[:, :-1], -1)", "5 rows × 1 column, float32: shape (5, 0)"),
        ("def f(x): return torch.softmax(x, -1).double()", "dtype float64 instead of float32"),
        ("def f(x): return torch.softmax(x, -1).tolist()", "list instead of a tensor"),
        ("def f(x): return x.copy_(torch.softmax(x, -1))", "the input was overwritten"),
        ("def f(x, dim=-1): return torch.softmax(x, -1)", "dim=0"),
        (
            "def f(x): return torch.softmax(x[:, :1024], -1) if x.shape[1] < 1025 else x",
            "5 rows × 1025 columns",
        ),
        ("def f(x):\n e = x.exp()\n return e / e.sum(-1, True)", "logits around 10,000 and -10,000"),
        (
            "def f(x): return torch.softmax(x.nan_to_num(neginf=0.0), -1)",
            "one -inf in a row",
        ),
        (
            "def f(x): return torch.softmax(x.as_strided(x.shape, (x.shape[1], 1)), -1)",
            "last dimension not contiguous",
        ),
        ("def f(x): return torch.softmax(x if x.shape[1] != 50 else 2 * x, -1)", "8 × 50"),
    ],
)
def test_a_users_wrong_softmax(context, source, first):
    with pytest.raises(Wrong) as wrong:
        user_case(context, source).check()
    assert first in str(wrong.value)
    assert wrong.value.error > wrong.value.allowed


def test_a_result_remembered_by_its_input_is_wrong(context):
    source = (
        "kept = {}\n"
        "def f(x, dim=-1):\n"
        "    key = (x.data_ptr(), x.shape, dim)\n"
        "    if key not in kept: kept[key] = (x, torch.softmax(x, dim))\n"
        "    return kept[key][1]"
    )
    with pytest.raises(Wrong, match="the second of two inputs in one tensor"):
        user_case(context, source).check()


def test_one_wrong_row_of_a_large_input_is_found(context):
    source = "def f(x):\n y = torch.softmax(x, -1)\n if len(y) > 977: y[977] = y[977].flip(0)\n return y"
    (context.folder / "mine.py").write_text(f"import torch\n{source}\n")
    params = Params(rows=1100, columns=1000, implementation="./mine.py:f")
    with pytest.raises(Wrong, match="1100 × 1000, float32, rows 0 to 1047"):
        case(params, context).check()


def test_a_users_refusals(context):
    source = "def f(x):\n if x.shape[1] % 64: raise NotImplementedError('columns must divide by 64')\n return x.softmax(-1)"
    with pytest.raises(Refused, match="columns must divide by 64"):
        user_case(context, source).check()
    assert "error" in case(Params(rows=8, columns=128, implementation="./mine.py:f"), context).check()


@pytest.mark.parametrize(
    ("source", "matter"),
    [
        ("def f(x, k): return torch.softmax(x, -1).topk(k)", None),
        ("def f(x, k): return torch.softmax(x, -1).topk(k, largest=False)", "error"),
        ("def f(x, k): return torch.softmax(x, -1)", "pair"),
        ("def f(x, k):\n v, z = torch.softmax(x, -1).topk(k)\n return v, z.float()", "columns are"),
        (
            "def f(x, k):\n v, z = torch.softmax(x, -1).topk(k)\n return v, z + 1",
            "a column that is not there",
        ),
        ("def f(x, k):\n v, z = torch.softmax(x, -1).topk(k)\n return v, z.roll(1, 0)", "error"),
        ("def f(x, k):\n v, z = torch.softmax(x, -1).topk(k)\n return v, 0 * z", "or one twice"),
    ],
)
def test_a_users_top_k(context, source, matter):
    mine = user_case(context, source, output="top-k")
    if matter is None:
        assert mine.check()["error_ratio"] < 3
    else:
        with pytest.raises(Wrong, match=matter):
            mine.check()


def test_threads_of_a_point_are_those_of_its_calls(context):
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            case(Params(implementation="torch", columns=3, threads=threads), context)
            assert torch.get_num_threads() == threads
        case(Params(implementation="torch", columns=3), context)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
