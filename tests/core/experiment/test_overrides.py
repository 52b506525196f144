"""What -s, --add, --variants, presets and counts make of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.core.experiment.load import load
from lab.core.experiment.mistakes import Mistakes
from lab.core.experiment.overrides import merged
from lab.core.experiment.request import Request
from lab.core.run.plan import check_points, params_of, plan, points

KNOWN = str(Path(__file__).parents[2] / "known" / "known.yaml")


def asked(*sets: str, **others: Any) -> Any:
    return load(KNOWN, Request(sets=sets, **others))


def test_axes_need_no_brackets_and_stay_lists() -> None:
    assert asked("size=4,8").experiment.axes == {"size": [4, 8]}
    assert asked("size=4").experiment.axes == {"size": [4]}
    assert asked("axes.size=[4, 8]").experiment.axes == {"size": [4, 8]}


def test_parameters_are_typed_by_the_subject() -> None:
    assert asked("factor=2").experiment.params["factor"] == 2
    assert asked("implementation=007").experiment.params["implementation"] == "007"  # text, not the number 7


def test_variants_take_a_key_or_a_mapping() -> None:
    assert asked("tenth-slower.factor=1.5").experiment.variants["tenth-slower"].params == {"factor": 1.5}
    assert asked("variants.twice={factor: 2}").experiment.variants["twice"].params == {"factor": 2}
    assert asked("variants.base={factor: 3, tier: ops}").experiment.variants["base"].tier == "ops"


def test_flags_come_after_sets_and_sets_after_presets() -> None:
    assert asked(preset="quick").experiment.repeats == 2
    assert asked("repeats=3", preset="quick").experiment.repeats == 3
    assert asked("repeats=3", preset="quick", repeats=4).experiment.repeats == 4
    assert "hanging" not in asked(preset="quick").experiment.variants


def test_what_every_variant_sets_itself_cannot_be_set_for_all() -> None:
    message = r"-s reward=format: has no effect: every variant sets reward itself; name one: -s accuracy\+format.reward="
    with pytest.raises(Mistakes, match=message):
        load("grpo", Request(sets=("reward=format",)))


def test_checks_are_one_grid_or_several() -> None:
    """What a grid does not name stays as it is when timed, an axis at its first value."""
    loaded = asked("checks=[{factor: [2, 3]}, {size: [4], factor: [5]}]")
    assert points(loaded) == [{"size": 1, "factor": 1.0}, {"size": 2, "factor": 1.0}]
    assert [tuple(point.values()) for point in check_points(loaded)[2:]] == [(1, 2), (1, 3), (4, 5)]
    assert loaded.experiment.values_of("factor") == [2, 3, 5]
    alone = asked("checks.factor=2,3")
    assert alone.experiment.checks == [{"factor": [2, 3]}]


def test_the_baseline_always_runs_and_so_does_what_was_added(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(x): return x\n")
    loaded = asked(variants=("same",), add=("mine=./mine.py:f",), folder=tmp_path)
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
        asked("sizes=3", "facto=2", variants=("sam",))
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
    loaded = asked()
    assert params_of(loaded, "same", {"size": 2}) == {"factor": 1.0, "size": 2, "implementation": "same"}


def test_the_plan_is_balanced_and_its_names_differ() -> None:
    trials = plan(asked())
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
