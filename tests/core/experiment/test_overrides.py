"""What -s, --add, --variants, presets and counts make of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.experiment.load import load
from lab.core.experiment.mistakes import Mistakes
from lab.core.experiment.overrides import merged
from lab.core.experiment.request import Request
from lab.core.experiment.schema import Experiment
from lab.core.run.opening import as_yaml
from lab.core.run.plan import check_points, params_of, plan, points

KNOWN = str(Path(__file__).parents[2] / "known" / "known.yaml")


def loaded_with(*sets: str, **others: Any) -> Any:
    return load(KNOWN, Request(sets=sets, **others))


def test_axes_need_no_brackets_and_stay_lists() -> None:
    assert loaded_with("size=4,8").experiment.axes == {"size": [4, 8]}
    assert loaded_with("size=4").experiment.axes == {"size": [4]}
    assert loaded_with("axes.size=[4, 8]").experiment.axes == {"size": [4, 8]}


def test_parameters_are_typed_by_the_subject() -> None:
    assert loaded_with("factor=2").experiment.params["factor"] == 2
    assert (
        loaded_with("implementation=007").experiment.params["implementation"] == "007"
    )  # text, not the number 7


OWN = """
from pathlib import Path
from typing import Literal
from pydantic import BaseModel
from lab.core.trial import Params as Base
class Model(BaseModel):
    width: int = 1
    name: str = ""
class Params(Base):
    whole: int = 1
    few: int | None = None
    real: float = 1.0
    either: int | float = 1
    yes: bool = True
    text: str = ""
    maybe: str | None = None
    word: Literal["point", "1"] = "point"
    size: Literal[64, 128] = 64
    wholes: list[int] = []
    texts: list[str] = []
    model: Model = Model()
    any: str | int | float | bool | None = None
def trial(params, context): return {}
"""
OWN_YAML = """
name: own
title: Every type
question: Is a value what its key wants?
trial: ./own_trial.py
variants: {a: {}, other: {}}
baseline: a
seeds: 1
metrics: {loss: {kind: trained}}
"""
TYPED = {
    "whole": {"1e4": 10_000, "7": 7, "-3": -3, "+2": 2, "1_000": 1000, "2.0": 2},
    "few": {"1e4": 10_000, "null": None, "~": None},
    "real": {"1e4": 1e4, "1e-3": 1e-3, ".5": 0.5, "2": 2},
    "either": {"1e4": 1e4, "3": 3},
    "yes": {"true": True, "False": False},
    "text": {
        "007": "007", "1e4": "1e4", "true": "true", "null": "null", "a #b": "a #b", "a: b": "a: b", "[x]": "[x]", "{x}": "{x}",
        "- x": "- x", "*x": "*x", "&x y": "&x y", "!x": "!x", "'q'": "q", '"1"': "1", "it's": "it's", "": "", '"1,2"': "1,2",
    },
    "maybe": {"a #b": "a #b", "007": "007", "null": None, "'null'": "null", "yes": "yes"},
    "word": {"point": "point", "1": "1"},
    "size": {"128": 128, "1.28e2": 128},
    "wholes": {"1": [1], "1e3,2": [1000, 2], "[1e3, 2]": [1000, 2]},
    "texts": {"a,b": ["a", "b"], "1,true": ["1", "true"], "'a,b',c": ["a,b", "c"], "a #b,c": ["a #b", "c"]},
    "model.width": {"1e2": 100},
    "model.name": {"1e2": "1e2"},
    "model": {"{width: 1e2}": {"width": 100}},
    "other.whole": {"1e4": 10_000},
    "other.text": {"007": "007"},
    "other": {},
    "params.whole": {"1e4": 10_000},
    "params": {"{whole: 1e4, wholes: [1e1]}": {"whole": 10_000, "wholes": [10]}},
    "variants.new": {"{whole: 1e4}": {"whole": 10_000}},
    "variants": {"{new: {whole: 1e4}}": {"a": {}, "other": {}, "new": {"whole": 10_000}}},
    "axes.whole": {"1e4": [10_000], "1e1,2": [10, 2], "[1e1, 2]": [10, 2]},
    "axes.text": {"007,1": ["007", "1"]},
    "axes": {"{whole: [1e1]}": {"whole": [10]}},
    "any": {"1": 1, "1.5": 1.5, "true": True, "x": "x", "null": None, "1:30": "1:30", "yes": "yes", "a #b": "a #b"},
    "seeds": {"1e1": 10, "3": 3},
    "timeout": {"5": 5, "1e1": 1e1},
}  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_trial.py").write_text(OWN)
    (folder / "own.yaml").write_text(OWN_YAML)
    return str(folder / "own.yaml")


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [(key, raw, value) for key, forms in TYPED.items() for raw, value in forms.items()],
)
def test_each_form_of_a_value_gets_the_type_of_its_key(own: str, key: str, raw: str, value: Any) -> None:
    data: Any = load(own, Request(sets=(f"{key}={raw}",))).document.data
    first, *rest = key.split(".")
    settable = ("params", "axes", "variants", "seeds", "timeout")
    for part in (
        (first, *rest)
        if first in settable
        else ("variants", first, *rest)
        if first == "other"
        else ("params", first, *rest)
    ):
        data = data[part]
    assert repr(data) == repr(value)  # 1 is not 1.0, and neither is True


KEYS = [
    "size", "factor", "implementation", "base.factor", "axes.size", "axes.nothing", "checks.factor", "checks.0.size", "params.factor",
    "variants.base", "variants.new", "variants.base.tier", "variants.base.needs", "variants", "params", "axes", "checks", "baseline",
    "repeats", "seeds", "timeout", "sample_seconds", "claims", "name", "repeats.x", "", ".",
]  # fmt: skip
VALUES = [
    "", "1", "1e3", "-1", "null", "true", "[]", "{}", "1,1.0", "a #b", "*x", "&x y", "!!int a", "'", "{a: {b: [1]}}", "{base: null}",
    "[[1]]", "nan", ".nan", ".inf", "1e400", "\0", "./x.py:f", "~nosuchuser/x.py:f", "[", "{", "<<", "{<<: {a: 1}}", "é",
]  # fmt: skip
SETS = st.builds(
    lambda key, value: f"{key}={value}", st.sampled_from(KEYS), st.sampled_from(VALUES) | st.text(max_size=6)
)


@settings(max_examples=150, deadline=None)
@given(sets=st.lists(SETS | st.text(max_size=6), min_size=1, max_size=3))
def test_whatever_is_typed_is_a_run_or_a_mistake(sets: list[str]) -> None:
    try:
        loaded = loaded_with(*sets)
    except Mistakes as mistakes:
        assert all(mistake.message for mistake in mistakes.mistakes)
        return
    assert plan(loaded)
    again = yaml.safe_load(as_yaml(loaded))
    assert Experiment.model_validate(again).axes == loaded.experiment.axes


def test_variants_take_a_key_or_a_mapping() -> None:
    assert loaded_with("tenth-slower.factor=1.5").experiment.variants["tenth-slower"].params == {
        "factor": 1.5
    }
    assert loaded_with("variants.twice={factor: 2}").experiment.variants["twice"].params == {"factor": 2}
    assert loaded_with("variants.base={factor: 3, tier: ops}").experiment.variants["base"].tier == "ops"


def test_flags_come_after_sets_and_sets_after_presets() -> None:
    assert loaded_with(preset="quick").experiment.repeats == 2
    assert loaded_with("repeats=3", preset="quick").experiment.repeats == 3
    assert loaded_with("repeats=3", preset="quick", repeats=4).experiment.repeats == 4
    assert "hanging" not in loaded_with(preset="quick").experiment.variants


def test_what_every_variant_sets_itself_cannot_be_set_for_all() -> None:
    message = r"-s reward=format: has no effect: every variant sets reward itself; name one: -s accuracy\+format.reward="
    with pytest.raises(Mistakes, match=message):
        load("grpo", Request(sets=("reward=format",)))


def test_checks_are_one_grid_or_several() -> None:
    """What a grid does not name stays as it is when timed, an axis at its first value."""
    loaded = loaded_with("checks=[{factor: [2, 3]}, {size: [4], factor: [5]}]")
    assert points(loaded) == [{"size": 1, "factor": 1.0}, {"size": 2, "factor": 1.0}]
    assert [tuple(point.values()) for point in check_points(loaded)[2:]] == [(1, 2), (1, 3), (4, 5)]
    assert loaded.experiment.values_of("factor") == [2, 3, 5]
    alone = loaded_with("checks.factor=2,3")
    assert alone.experiment.checks == [{"factor": [2, 3]}]


def test_the_baseline_always_runs_and_so_does_what_was_added(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(x): return x\n")
    loaded = loaded_with(variants=("same",), add=("mine=./mine.py:f",), folder=tmp_path)
    assert list(loaded.experiment.variants) == ["base", "same", "mine"]
    assert loaded.experiment.variants["mine"].params == {"implementation": str(tmp_path / "mine.py") + ":f"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"sets": ("sizes=3",)}, "-s sizes=3: no such key sizes. Did you mean size?"),
        ({"sets": ("size",)}, "write it as key=value"),
        ({"sets": ("size=",)}, "has no value"),
        ({"sets": ("factor=fast",)}, "-s factor=fast: factor:"),
        ({"sets": ("size=1,two",)}, "size:"),
        ({"sets": ("claims=[]",)}, "belongs to the file"),
        ({"sets": ("repeats=0",)}, "repeats:"),
        ({"sets": ("variants.twice={facto: 2}",)}, "unknown parameter facto. Did you mean factor?"),
        ({"sets": ("size=[1, 2",)}, "is not YAML"),
        ({"sets": ("size=1,1.0",)}, "-s size=1,1.0: size names a value twice"),
        ({"sets": ("size=[1, 1.0]",)}, "size names a value twice"),
        ({"sets": ("checks.factor=1e16,10000000000000001",)}, "factor names a value twice"),
        (
            {"sets": ("axes.sise=9",)},
            "-s axes.sise=9: sise is no parameter of ./known_trial.py. Did you mean size?",
        ),
        ({"sets": ("checks.sise=9",)}, "sise is no parameter of ./known_trial.py. Did you mean size?"),
        ({"sets": ("axes.ratio=9",)}, "an axis cannot be called ratio"),
        ({"sets": ("variants=5", "factor=4")}, "-s variants=5: variants:"),
        ({"sets": ("variants=[a]", "base.factor=4")}, "-s variants=[a]: variants:"),
        ({"sets": ("variants.base=5", "factor=4")}, "-s variants.base=5: base:"),
        ({"sets": ("variants.a/b={}",)}, "-s variants.a/b={}: a variant's name is"),
        ({"sets": ("params=5", "factor=4")}, "-s params=5: params:"),
        ({"sets": ("axes=5", "size=4")}, "-s axes=5: axes:"),
        ({"sets": ("axes=null", "size=4")}, "-s axes=null: axes:"),
        ({"sets": ("checks=5", "factor=4")}, "-s checks=5: checks:"),
        (
            {"sets": ("baseline=[base]",), "add": ("mine=./known_trial.py:case",)},
            "-s baseline=[base]: no variant [base]",
        ),
        ({"sets": ("baseline=basis",)}, "-s baseline=basis: no variant basis. Did you mean base?"),
        ({"sets": ("size..x=1",)}, "write it as key=value"),
        ({"sets": ("=1",)}, "write it as key=value"),
        ({"sets": ("factor=\x1b[31m",)}, "-s: holds a control character"),
        ({"sets": ("factor=\udcff",)}, "-s: holds a control character"),
        ({"sets": (f"size={'1' * 5000}",)}, "size: "),
        ({"sets": ("base.implementation=~nosuchuser/x.py:f",)}, "no such file"),
        ({"sets": ("timeout=.inf",)}, "timeout: "),
        ({"repeats": 1_000_000_000}, "--repeats 1000000000: "),
        ({"preset": "quik"}, "--preset quik: no such preset. Did you mean quick?"),
        ({"variants": ("sam",)}, "no variant sam. Did you mean same?"),
        ({"seeds": 3}, "this experiment counts repeats; write --repeats 3"),
        ({"add": ("mine",)}, "write it as name=./file.py:function"),
        ({"add": ("same=./known_trial.py:case",)}, "there is a variant same already"),
        ({"add": ("mine=./nowhere.py:f",)}, "no such file: ./nowhere.py"),
        ({"add": ("mine=./known_trial.py:cas",)}, "has no cas. Did you mean case?"),
    ],
)
def test_what_is_typed_wrongly_is_told_as_typed(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(Mistakes) as caught:
        load(KNOWN, Request(folder=Path(KNOWN).parent, **request_))
    assert message in str(caught.value)


def test_all_wrong_requests_come_at_once() -> None:
    with pytest.raises(Mistakes) as caught:
        loaded_with("sizes=3", "facto=2", variants=("sam",))
    assert len(caught.value.mistakes) == 3


def test_merging_replaces_lists_and_removes_nulls() -> None:
    assert merged({"a": {"b": [1, 2], "c": 3}, "d": 4}, {"a": {"b": [5]}, "d": None}) == {
        "a": {"b": [5], "c": 3}
    }


def test_the_grid_of_checks_stands_beside_the_timed_grid() -> None:
    loaded = load("softmax")
    timed, checked = points(loaded), check_points(loaded)
    assert all(point["dtype"] == "float32" for point in timed)
    assert checked[: len(timed)] == timed and len(checked) > len(timed)
    assert len({str(point) for point in checked}) == len(checked)


def test_a_variant_that_leaves_implementation_unset_is_its_own_name() -> None:
    loaded = loaded_with()
    assert params_of(loaded, "same", {"size": 2}) == {"factor": 1.0, "size": 2, "implementation": "same"}


def test_the_plan_is_balanced_and_its_names_differ() -> None:
    trials = plan(loaded_with())
    assert len({trial.key for trial in trials}) == len(trials)
    timed = [trial for trial in trials if trial.kind == "time"]
    assert [trial.point["size"] for trial in timed[:4]] == [1, 2, 1, 2]


def test_what_needs_a_missing_package_is_left_out_unless_named(tmp_path: Path) -> None:
    path = tmp_path / "needing.yaml"
    text = Path(KNOWN).read_text().replace("./", f"{Path(KNOWN).parent}/")
    text = text.replace("name: known\n", "name: needing\n").replace(
        "variants:\n", "variants:\n  rival: {needs: no_such_package}\n  here: {needs: json}\n", 1
    )
    path.write_text(text)
    assert "rival" not in (found := load(str(path)).experiment.variants)
    assert "here" in found
    assert "rival" in load(str(path), Request(variants=("rival",))).experiment.variants


def test_several_values_of_a_parameter_make_it_an_axis(own: str) -> None:
    def axes(text: str) -> Any:
        return load(own, Request(sets=(text,))).experiment.axes

    assert axes("whole=1,2e3") == {"whole": [1, 2000]}
    assert axes("word=[point, '1']") == {"word": ["point", "1"]}
    assert axes("text=a,b") == {"text": ["a", "b"]}
    for text in ('text="a,b"', "wholes=1,2", "whole=3"):  # a text, a list by its type, one value
        assert axes(text) == {}
    with pytest.raises(Mistakes, match=r"-s whole=1,x: whole: should be a whole number, not 'x'"):
        axes("whole=1,x")


def test_a_parameter_that_a_variant_sets_is_no_axis() -> None:
    with pytest.raises(Mistakes, match="factor cannot be an axis: .* would lose their own"):
        loaded_with("factor=1,2")


def test_a_new_variant_is_set_key_by_key_and_runs_beside_the_baseline() -> None:
    loaded = loaded_with("variants.new.factor=3", "variants.new.implementation=base", variants=("same",))
    assert set(loaded.experiment.variants) == {"base", "same", "new"}
    new, base = loaded.experiment.variants["new"], loaded.experiment.variants["base"]
    assert new.params == {"factor": 3, "implementation": "base"} and new.tier == base.tier
    with pytest.raises(Mistakes, match="a variant's name is letters"):
        loaded_with("variants.two words.factor=3")
    with pytest.raises(Mistakes, match=r"unknown parameter fctor\. Did you mean factor\?"):
        loaded_with("variants.new.fctor=3")


def test_a_new_variant_stands_in_the_tier_of_the_baseline() -> None:
    experiment = load("softmax", Request(sets=("variants.half.dtype=float16",))).experiment
    assert experiment.variants["half"].tier == experiment.variants[experiment.baseline].tier != ""
