"""What `lab validate` warns of: claims that cannot fail, that say no place, that exclude or repeat each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli.app import app
from lab.core.experiment.document import read
from lab.core.experiment.shape import shaped
from lab.core.experiment.warnings import warnings

FILE = """
name: doubtful
title: Claims that say less than they seem to
question: Are they seen?
sources: {paper: {title: One}}
trial: ./own_trial.py
axes: {size: [1, 2]}
variants: {a: {}, b: {}, c: {}}
baseline: a
seeds: 6
metrics:
  right: {kind: trained, out_of: 128}
  share: {kind: trained, range: [0, 1]}
  loss: {kind: trained}
  rescaled: {kind: trained, unit: "%"}
  time: {kind: timed, unit: ms}
  memory: {kind: counted, unit: MB}
  steps: {kind: counted}
  way: {kind: trained, unit: "%", gap: {of: loss, zero: a, whole: b}}
claims:
"""
LINE = FILE.count("\n") + 1  # of the first claim
SOURCE = "paper, §3"


def claim(measure: str, expect: str, name: str = "it", source: str = SOURCE, **more: str) -> str:
    rest = "".join(f", {key}: {value}" for key, value in more.items())
    return f'  - {{id: {name}, says: So., source: "{source}", measure: {{{measure}}}, expect: {{{expect}}}{rest}}}\n'


def warned(tmp_path: Path, *claims: str) -> list[str]:
    """Every warning as `claim: message`."""
    (tmp_path / "doubtful.yaml").write_text(FILE + "".join(claims))
    document = read(tmp_path / "doubtful.yaml")
    return [f"{one.claim}: {one.message}" for one in warnings(shaped(document), document)]


CANNOT_FAIL = [
    ("value: right, of: a", "at_least: 0"),
    ("value: right, of: a", "between: [0, 1]"),
    ("value: right, of: a", "between: [-0.1, 1.5]"),
    ("value: share, of: a", "at_most: 1"),
    ("value: time, of: a", "at_least: 0"),
    ("value: memory, of: a", "at_least: -1"),
    ("ratio: time, of: a, over: b", "at_least: 0"),
    ("ratio: loss, of: a, over: b", "at_least: -0.5"),
    ("ratio: loss, of: a, over: a", "between: [0.9, 1.1]"),
    ("difference: loss, of: a, over: a", "at_most: 0"),
    ("difference: share, of: a, over: b", "between: [-1, 1]"),
    ("difference: right, of: a, over: b", "at_most: 1"),
    ("trend: loss, of: a, over: size", "at_least: -1"),
    ("trend: loss, of: a, over: step", "between: [-1, 1]"),
]
CAN_FAIL = [
    ("value: right, of: a", "at_least: 0.01"),
    ("value: right, of: a", "at_most: 0"),
    ("value: loss, of: a", "at_least: 0"),
    ("value: rescaled, of: a", "at_least: 0"),
    ("value: way, of: c", "between: [0, 100]"),
    ("value: time, of: a", "at_most: 1e9"),
    ("ratio: time, of: a, over: b", "at_least: 0.001"),
    ("ratio: right, of: a, over: b", "at_most: 1"),
    ("difference: right, of: a, over: b", "at_least: 0"),
    ("difference: loss, of: a, over: b", "at_least: -1"),
    ("exponent: loss, of: a, over: size", "at_least: 0"),
    ("trend: loss, of: a, over: size", "at_least: 0"),
    ("order: right, of: [a, b, c]", "order: increasing"),
]


@pytest.mark.parametrize(("measure", "expect"), CANNOT_FAIL)
def test_a_bound_that_every_value_meets_is_told(measure: str, expect: str, tmp_path: Path) -> None:
    (found,) = warned(tmp_path, claim(measure, expect))
    kind, metric = measure.split(",")[0].split(": ")
    assert found == f"it: cannot fail: every possible {kind} of {metric} meets it"


@pytest.mark.parametrize(("measure", "expect"), CAN_FAIL)
def test_a_bound_that_can_fail_is_none_of_them(measure: str, expect: str, tmp_path: Path) -> None:
    assert warned(tmp_path, claim(measure, expect)) == []


RATIO, VALUE, SHARE, CHANGE = (
    "ratio: time, of: a, over: b",
    "value: memory, of: a",
    "value: share, of: a",
    "difference: share, of: a, over: b",
)
OUTSIDE = [
    (RATIO, "at_least: 2", "1.5"),
    (RATIO, "at_least: 2", '"1.7-1.8, A100"'),
    (RATIO, "at_least: 1.75", '"1.7–1.8"'),
    (RATIO, "at_most: 2", "3x"),
    (RATIO, "at_most: 2", "up to 3x (V100)"),
    (RATIO, "at_most: 2", '"2.9 times; on average"'),
    (CHANGE, "at_least: 0.05", "-0.1"),
    (CHANGE, "at_least: 0.05", "−0.1"),
    (CHANGE, "at_most: -0.05", "10%"),
    (SHARE, "at_most: 0.04", "4.7%"),
    ("value: rescaled, of: a", "at_most: 4", "4.7%"),
    ("value: rescaled, of: a", "at_most: 4", "5"),
    (VALUE, "between: [10, 20]", "21 MB"),
    (VALUE, "between: [10, 20]", "12 GB"),
    (VALUE, "at_least: 1e6", '"1,000 MB"'),
    ("exponent: memory, of: a, over: size", "at_most: 1.1", "2"),
]
NOT_OUTSIDE = [
    (RATIO, "at_least: 2", "2"),
    (RATIO, "at_least: 1.7", '"1.7-1.8, A100"'),
    (RATIO, "at_least: 2", '"3x"'),
    (CHANGE, "at_most: -0.05", "-0.1"),
    (CHANGE, "at_most: -0.05", "−10%"),
    (SHARE, "at_most: 0.05", "4.7%"),
    ("value: rescaled, of: a", "at_most: 5", "4.7%"),
    (VALUE, "between: [10, 20]", "0.012 GB"),
    (VALUE, "between: [10, 20]", "20000 KB"),
    (VALUE, "at_least: 1000", '"1,000 MB"'),
    # No figure, more than one, or one of something else: nothing is said.
    (RATIO, "at_least: 2", "faster"),
    (RATIO, "at_least: 2", "1.1 ms"),
    (RATIO, "at_least: 2", "30%"),
    (RATIO, "at_least: 2", "36 -> 38"),
    (RATIO, "at_least: 100", '"8 of 13 pairs, all 11 methods"'),
    (VALUE, "at_least: 100", "2.75 both"),
    (VALUE, "at_least: 100", "4° and 48°"),
    (VALUE, "at_least: 100", "12 s"),
    ("order: right, of: [a, b, c]", "order: increasing", "3"),
]


@pytest.mark.parametrize(("measure", "expect", "figure"), OUTSIDE)
def test_a_papers_figure_outside_the_region_is_told(
    measure: str, expect: str, figure: str, tmp_path: Path
) -> None:
    (found,) = warned(tmp_path, claim(measure, expect, paper=figure))
    said = figure.strip('"')
    assert found.startswith("it: the paper's figure, ") and "lies outside the expected region" in found
    assert said in found or f"{float(said)}" in found


@pytest.mark.parametrize(("measure", "expect", "figure"), NOT_OUTSIDE)
def test_a_figure_inside_or_of_something_else_is_not(
    measure: str, expect: str, figure: str, tmp_path: Path
) -> None:
    assert warned(tmp_path, claim(measure, expect, paper=figure)) == []


def test_a_source_without_a_place_is_told_and_ours_needs_none(tmp_path: Path) -> None:
    can_fail = ("value: loss, of: a", "at_least: 1")
    assert warned(tmp_path, claim(*can_fail, source="ours")) == []
    assert warned(tmp_path, claim(*can_fail, source="paper, Table 2")) == []
    for source in ("paper", "paper,", "paper , "):
        (found,) = warned(tmp_path, claim(*can_fail, source=source))
        assert found.startswith("it: says no place in paper")


def test_the_sources_baseline_is_the_one_that_is_measured(tmp_path: Path) -> None:
    for measure in ("ratio: time, of: b, over: a", "difference: loss, of: a, over: c"):
        assert warned(tmp_path, claim(measure, "at_least: 1", against="a")) == []
    (found,) = warned(tmp_path, claim("ratio: time, of: b, over: c", "at_least: 1", against="a"))
    assert found == "it: the source compares with a, the measure with c"
    (found,) = warned(tmp_path, claim("value: loss, of: b", "at_least: 1", against="a"))
    assert found == "it: the source compares with a, the measure with nothing"


# Two measures of which the second turns the first round, two regions of the first, and what they say of each other.
PAIRS = [
    ("difference", "between: [-0.1, -0.01]", "between: [-0.05, 0.05]", "exclude"),
    ("difference", "at_least: 0.01", "between: [-0.05, 0.05]", "exclude"),
    ("difference", "between: [0.01, 0.02]", "between: [-0.05, 0.05]", "exclude"),
    ("difference", "at_most: -0.01", "at_least: -0.05", "exclude"),
    ("difference", "at_most: -0.05", "between: [-0.05, 0.05]", ""),  # no interval fits into one point
    ("difference", "at_least: 0.1", "between: [-0.05, 0.05]", ""),
    ("difference", "at_least: 0.1", "at_least: -0.05", ""),  # one follows from the other
    ("difference", "at_least: 0.1", "at_least: 0.05", ""),
    ("difference", "at_least: 0.1", "at_most: -0.1", ""),
    ("difference", "between: [-0.1, 0.1]", "between: [-0.05, 0.05]", ""),  # two margins
    ("difference", "at_least: -0.02", "between: [-0.05, 0.05]", ""),
    ("difference", "between: [-0.05, 0.05]", "between: [-0.05, 0.05]", "repeats"),
    ("difference", "at_least: 0.1", "at_least: 0.1", "repeats"),
    ("ratio", "at_least: 1.05", "at_most: 1.1", "exclude"),
    ("ratio", "at_least: 1.05", "between: [0.9, 1.1]", "exclude"),
    ("ratio", "at_most: 0.95", "between: [0.9, 1.1]", "exclude"),
    ("ratio", "at_least: 1.05", "at_least: 2", ""),
    ("ratio", "at_least: 1.2", "between: [0.9, 1.1]", ""),
    ("ratio", "at_least: 1.25", "at_least: 1.25", "repeats"),
    ("value", "between: [1, 3]", "between: [2, 4]", ""),
    ("value", "at_most: 3", "between: [2, 4]", ""),
    ("value", "between: [-0.1, 0.1]", "at_least: 0.05", "exclude"),
    ("value", "at_least: 5", "at_least: 5", "repeats"),
    ("exponent", "between: [-0.1, 0.1]", "at_least: 0.05", "exclude"),
    ("exponent", "at_most: 1.1", "at_least: 0.9", ""),
]
OVER = {"value": "", "exponent": ", over: size"}


def measured(kind: str, of: str = "a", over: str = "b", metric: str = "loss", where: str = "") -> str:
    if kind == "exponent":
        return f"exponent: {metric}, of: {of}, over: size"
    other = "" if kind == "value" else f", over: {over}"
    return f"{kind}: {metric}, of: {of}{other}{where}"


def turned(kind: str, expect: str) -> str:
    """The region of the same ratio or difference written the other way round."""
    word, _, rest = expect.partition(": ")
    ends = [float(end) for end in rest.strip("[]").split(",")]
    ends = [1 / end if kind == "ratio" else -end for end in ends]
    other = {"at_least": "at_most", "at_most": "at_least", "between": "between"}[word]
    return f"{other}: {ends[::-1] if len(ends) > 1 else ends[0]}"


@pytest.mark.parametrize("way_round", [False, True])
@pytest.mark.parametrize(("kind", "first", "second", "said"), PAIRS)
def test_claims_that_exclude_or_repeat_each_other(
    kind: str, first: str, second: str, said: str, way_round: bool, tmp_path: Path
) -> None:
    other = claim(measured(kind), second, "other")
    if way_round and kind in ("ratio", "difference"):
        other = claim(measured(kind, "b", "a"), turned(kind, second), "other")
    for pair in ((claim(measured(kind), first), other), (other, claim(measured(kind), first))):
        found = warned(tmp_path, *pair)
        assert len(found) == bool(said), found
        assert not said or f" {said}" in f" {found[0]}"


def test_other_measures_variants_points_and_devices_do_not(tmp_path: Path) -> None:
    same, changed = "between: [-0.05, 0.05]", "at_least: 0.01"
    first = claim(measured("difference", where=", where: {size: 2}"), same)
    others = [
        measured("difference", over="c", where=", where: {size: 2}"),
        measured("difference", metric="share", where=", where: {size: 2}"),
        measured("difference", where=", where: {size: 1}"),
        measured("value", where=", where: {size: 2}"),
    ]
    for other in others:
        assert warned(tmp_path, first, claim(other, changed, "other")) == []
    again = measured("difference", where=", where: {size: max}")
    assert len(warned(tmp_path, first, claim(again, changed, "other"))) == 1, "max is 2"
    there = {"setting": "{device: V100}"}
    assert len(warned(tmp_path, first, claim(again, changed, "other", **there))) == 1
    first = claim(measured("difference", where=", where: {size: 2}"), same, setting="{device: cpu}")
    assert warned(tmp_path, first, claim(again, changed, "other", **there)) == []


def test_counted_numbers_can_stand_on_a_common_bound(tmp_path: Path) -> None:
    counted = measured("difference", metric="steps")
    assert (
        len(warned(tmp_path, claim(counted, "between: [-5, 5]"), claim(counted, "at_least: 5", "other"))) == 1
    )


def test_orders_repeat_only_in_the_same_direction(tmp_path: Path) -> None:
    up = claim("order: loss, of: [a, b, c]", "order: increasing")
    assert len(warned(tmp_path, up, up.replace("id: it", "id: other"))) == 1
    down = claim("order: loss, of: [a, b, c]", "order: decreasing", "other")
    assert warned(tmp_path, up, down) == []
    assert warned(tmp_path, up, claim("order: loss, of: [a, c, b]", "order: increasing", "other")) == []


def test_the_command_prints_place_claim_and_sentence_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = "from lab.core.trial import Params as Base\nclass Params(Base):\n    size: int = 1\n"
    (tmp_path / "own_trial.py").write_text(trial + "def trial(params, context): return {}\n")
    text = FILE + claim(measured("value", where=", where: {size: 1}"), "at_least: 1", source="paper")
    (tmp_path / "doubtful.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["validate", "doubtful.yaml"])
    assert done.exit_code == 0
    fine, warning = done.stdout.splitlines()
    assert fine == "doubtful.yaml: fine; 36 trials, 1 claims, 1 warning"
    assert warning.startswith(f"doubtful.yaml:{LINE}:") and ": warning: it: says no place in paper" in warning
    done = CliRunner().invoke(app, ["validate", "doubtful.yaml", "--json"])
    assert done.exit_code == 0
    (one,) = json.loads(done.stdout)["warnings"]
    assert (one["source"], one["line"], one["claim"]) == ("doubtful.yaml", LINE, "it")
    assert one["message"].startswith("says no place")
