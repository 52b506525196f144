"""A claim about variants that have not learnt their task gets no verdict: known figures through the whole judge."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from lab.core.analysis.conditions import Conditions
from lab.core.analysis.judge import judge
from lab.core.analysis.settle import look_to_come, open_claims
from lab.core.analysis.verdicts import Verdict, by_chance, chances, claims_table, tally
from lab.core.experiment.schema import Experiment

CPU = {"device": "cpu"}
SEEDS = (0.70, 0.80, 0.74, 0.76, 0.71, 0.79)  # their mean is 0.75
ENOUGH = {"metric": "right", "at_least": 0.95, "where": {"length": 16}}
TWICE = {"difference": "right", "of": "alibi", "over": "none", "where": {"length": 32}}
UNTRAINED = "not trained enough"
Figures = dict[tuple[str, int, str], tuple[float, ...]]


def figures() -> Figures:
    """`alibi` has learnt at length 16, `none` has not; beyond it alibi is better, clearly."""
    found: Figures = {}
    for length in (16, 32, 64):
        found |= {
            ("none", length, "right"): tuple(x * 16 / length for x in SEEDS),
            ("alibi", length, "right"): tuple(0.98 + (x - 0.75) / 10 for x in SEEDS),
            ("rope", length, "right"): tuple(x * 8 / length for x in SEEDS),
            **{(name, length, "loss"): SEEDS for name in ("none", "alibi", "rope")},
            **{(name, length, "time"): (length * 1.0,) * 6 for name in ("none", "alibi")},
            **{(name, length, "scores"): (length**2.0,) for name in ("none", "alibi")},
        }
    return found


def experiment(measure: dict[str, Any], needs: Any, expect: Any = None, **claim: Any) -> Experiment:
    given = {"needs": needs} if needs else {}
    return Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "axes": {"length": [16, 32, 64]},
            "variants": {"none": {}, "alibi": {}, "rope": {}}, "baseline": "none", "seeds": 6,
            "holds_for": "this task",
            "metrics": {
                "right": {"kind": "trained", "out_of": 64}, "loss": {"kind": "trained"},
                "time": {"kind": "timed", "unit": "ms"}, "scores": {"kind": "counted"},
            },
            "predictions": [{"id": "none-at-all", "says": "0", "metric": "right", "value": 0}],
            "claims": [{"id": "twice", "says": "So.", "source": "ours", "measure": measure,
                        "expect": expect or {"at_least": 0.1}} | claim | given],
        }
    )  # fmt: skip


def table(found: Figures) -> pd.DataFrame:
    rows = [(*where, i, x) for where, xs in found.items() for i, x in enumerate(xs)]
    return pd.DataFrame(rows, columns=["variant", "length", "metric", "replicate", "value"])


def verdict(measure: dict[str, Any] = TWICE, needs: Any = ENOUGH, found: Any = None, **more: Any) -> Verdict:
    rest = [more.pop(name, None) for name in ("status", "curves")]
    conditions = more.pop("conditions", None)
    (one,) = judge(experiment(measure, needs, **more), table(found or figures()), *rest, CPU, conditions)
    return one


def test_one_that_has_not_learnt_keeps_its_figure_and_gets_no_verdict() -> None:
    found, plain = verdict(), verdict(needs=None)
    assert plain.word == "holds" and plain.needs == "" and plain.holds_for
    assert found.word == UNTRAINED and not found.settled and not found.holds_for
    assert found.detail == "right of none is 0.75 at length=16, below 0.95: train it longer"
    assert found.needs == "right at least 0.95 at length=16"
    assert (found.here, found.interval, found.replicates) == (plain.here, plain.interval, 6)
    assert found.here and found.point == (("length", 32),)


def test_it_counts_nowhere_and_more_seeds_are_not_proposed() -> None:
    found, plain = verdict(), verdict(needs=None)
    both = [found, replace(plain, claim="other")]
    assert tally(both) == "1 holds, 1 not trained enough"
    assert by_chance(both) == by_chance([plain]) != "" and by_chance([found]) == ""
    assert list(chances(both, 6)) == ["other"]
    assert found.settling is not None and found.more is None and found.settling.why_not == found.detail
    assert open_claims(both) == []
    said = look_to_come(both, Conditions(6, 6), "seed")
    assert said == f"more seeds would not settle what is open: twice: {found.detail}"
    row = claims_table([found]).iloc[0]
    assert (row["word"], row["needs"], row["here"]) == (UNTRAINED, found.needs, found.here)


def test_those_that_have_learnt_are_judged_as_ever() -> None:
    """Only alibi is asked for: the verdict is the one without any need."""
    found = verdict(needs=ENOUGH | {"of": "alibi"})
    assert found.needs == "right of alibi at least 0.95 at length=16"
    assert replace(found, needs="") == verdict(needs=None)
    assert verdict(needs=ENOUGH | {"of": "none"}).word == UNTRAINED


@pytest.mark.parametrize(
    "right, word",
    [
        ((0.95,) * 6, "holds"),
        ((0.9, 1.0) * 3, "holds"),
        ((0.8, 1.0, 1.0, 1.0, 0.92, 0.98), "holds"),  # 5.7 of 6, and a hair less in float64
        ((0.95, 0.95, 0.95, 0.95, 0.95, 0.949), UNTRAINED),
        ((0.94999,) * 6, UNTRAINED),
        ((0.9, 1.0, 1.0, 1.0, 0.9, 0.9), "holds"),
        ((0.9, 1.0, 0.9, 1.0, 0.9, 0.9), UNTRAINED),
    ],
)
def test_the_mean_beside_its_bound(right: tuple[float, ...], word: str) -> None:
    found = verdict(found=figures() | {("none", 16, "right"): right})
    assert found.word == word
    if word == UNTRAINED:
        shown = float(found.detail.split(" is ")[1].split()[0])
        assert shown < 0.95 and shown == pytest.approx(sum(right) / 6, rel=2e-3)


def test_a_figure_a_hair_below_its_bound_does_not_read_as_if_it_met_it() -> None:
    close = figures() | {("none", 16, "right"): (0.94999,) * 6}
    assert "right of none is 0.94999 at length=16, below 0.95:" in verdict(found=close).detail
    loss = {"metric": "loss", "at_most": 0.7499999}
    assert (
        "loss of alibi is 0.75 and of none is 0.75 at length=32, above 0.7499999"
        in verdict(needs=loss).detail
    )


@pytest.mark.parametrize("bound, word", [(0.76, "holds"), (0.75, "holds"), (0.74, UNTRAINED)])
def test_at_most_is_for_what_must_be_low(bound: float, word: str) -> None:
    needs = {"metric": "loss", "at_most": bound, "of": ["none"], "where": {"length": "min"}}
    found = verdict(needs=needs)
    assert found.word == word and found.needs == f"loss of none at most {bound} at length=min"
    if word == UNTRAINED:
        assert found.detail == "loss of none is 0.75 at length=16, above 0.74: train it longer"


@pytest.mark.parametrize("right, word", [(0.9, UNTRAINED), (0.96, "preview")])
def test_one_seed_is_enough_to_see_that_nothing_was_learnt(right: float, word: str) -> None:
    one = {where: xs[:1] for where, xs in figures().items()} | {("none", 16, "right"): (right,)}
    found = verdict(found=one, conditions=Conditions(1, 1))
    assert found.word == word and found.replicates == 1 and found.here
    assert (found.more == 5) == (word == "preview")


@pytest.mark.parametrize("at_look, after, word", [(0.9, 1.0, UNTRAINED), (0.96, 0.0, "holds")])
def test_only_the_seeds_of_the_look_are_asked(at_look: float, after: float, word: str) -> None:
    """Nine seeds, of which the look takes six: over all nine it would be the other word."""
    grown = {where: (*xs, *xs[:3]) for where, xs in figures().items() if len(xs) == 6}
    grown["none", 16, "right"] = (at_look,) * 6 + (after + 0.2 * (after > 0),) * 3
    assert verdict(found=grown, conditions=Conditions(6, 9)).word == word
    all_nine = verdict(found=grown, conditions=Conditions(9, 9)).word
    assert all_nine == ("holds" if word == UNTRAINED else UNTRAINED)


CURVES = pd.DataFrame(
    [
        ("none", 32, "right", seed, step, step / 3 + seed / 100)
        for seed in range(6)
        for step in range(4)
    ],
    columns=["variant", "length", "metric", "replicate", "step", "value"],
)  # fmt: skip


@pytest.mark.parametrize(
    "measure, expect",
    [
        ({"value": "right", "of": "none", "where": {"length": 32}}, {"at_least": 0.9}),
        ({"ratio": "right", "of": "alibi", "over": "none", "where": {"length": 32}}, {"at_least": 1}),
        ({"deviation": "right", "of": "none", "over": "none-at-all", "where": {"length": 32}}, {"at_least": 0}),
        ({"exponent": "right", "of": "none", "over": "length"}, {"at_most": 0}),
        ({"trend": "right", "of": "none", "over": "length"}, {"at_most": 0}),
        ({"trend": "right", "of": "none", "over": "step", "where": {"length": 32}}, {"at_least": 0.5}),
        ({"order": "right", "of": ["none", "alibi"], "where": {"length": 64}}, {"order": "increasing"}),
        ({"ratio": "time", "of": "alibi", "over": "none", "where": {"length": 64}}, {"at_most": 2}),
        ({"value": "scores", "of": "none", "where": {"length": 64}}, {"at_least": 4096}),
        ({"value": "scores", "of": "none", "where": {"length": 64}}, {"at_least": 5000}),
    ],
)  # fmt: skip
def test_every_measure_of_every_kind_of_metric_may_need_something(measure: Any, expect: Any) -> None:
    found = verdict(measure, expect=expect, curves=CURVES)
    assert found.word == UNTRAINED and found.here
    assert found.detail == "right of none is 0.75 at length=16, below 0.95: train it longer"
    met = verdict(measure, ENOUGH | {"at_least": 0.75}, expect=expect, curves=CURVES)
    assert replace(met, needs="") == verdict(measure, None, expect=expect, curves=CURVES)
    assert met.word in ("holds", "fails here")


def test_a_claim_for_another_device_is_not_starred() -> None:
    setting = {"setting": {"device": "cuda"}}
    assert verdict(needs=None, **setting).word == "higher*"
    assert verdict(**setting).word == UNTRAINED


def test_the_first_that_fall_short_are_named() -> None:
    measure = {"order": "right", "of": ["rope", "none", "alibi"], "where": {"length": 64}}
    more = {"expect": {"order": "increasing"}}
    two = "right of rope is 0.375 and of none is 0.75 at length=16, below 0.95: train them longer"
    assert verdict(measure, **more).detail == two
    three = verdict(measure, ENOUGH | {"at_least": 0.99}, **more).detail
    assert three == two.replace("0.75 at", "0.75, and 1 more at").replace("0.95", "0.99")
    time = {"metric": "time", "at_most": 20, "of": "none"}
    assert "time of none is 32 at length=32, above 20 ms" in verdict(needs=time).detail


@pytest.mark.parametrize(
    "change, gone, status, words",
    [
        ({"metric": "write"}, None, None, "write is not measured in this run"),
        ({}, ("none", 16, "right"), None, "right of none was not measured at length=16"),
        ({"where": {"depth": 1}}, None, None, "depth is not an axis of this run"),
        ({}, None, ("none", 16, "failed", "no memory"), "none failed at length=16: no memory"),
    ],
)
def test_where_the_figure_is_missing_the_claim_is_not_tested(
    change: Any, gone: Any, status: Any, words: str
) -> None:
    rest = {where: xs for where, xs in figures().items() if where != gone}
    states = status and pd.DataFrame([status], columns=["variant", "length", "status", "reason"])
    found = verdict(needs=ENOUGH | change, found=rest, status=states)
    assert (found.word, found.detail) == ("not tested", f"{words}, which the claim needs")
    assert found.here == "" and found.replicates == 0


def test_what_the_measure_lacks_is_said_first_and_a_run_without_that_length_is_not_tested() -> None:
    short = {where: xs for where, xs in figures().items() if where[1] != 16}
    assert verdict(found=short).detail == "length=16 is not in this run, which the claim needs"
    long = {where: xs for where, xs in figures().items() if where[1] != 32}
    assert verdict(found=long).detail == "length=32 is not in this run"
    undefined = figures() | {("none", 16, "right"): (math.nan,) * 6}
    assert verdict(found=undefined).detail == "right of none is nan (replicate 0), which the claim needs"
