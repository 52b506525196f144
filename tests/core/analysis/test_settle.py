"""What would settle a claim: the number of replicates, how often that number does settle it, and the command."""

from __future__ import annotations

import itertools
import math
import shlex
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.core.analysis.conditions import Conditions
from lab.core.analysis.judge import judge
from lab.core.analysis.looks import Look, looks
from lab.core.analysis.regions import stand
from lab.core.analysis.settle import MOST_TIMES, Settling, command, look_to_come, next_verdict, settling
from lab.core.analysis.statistics import (
    FEWEST,
    Interval,
    difference_interval,
    mean_interval,
    proportion_interval,
    ratio_interval,
)
from lab.core.experiment.schema import Experiment

INF = math.inf


def more(interval: Interval, region: tuple[float, float], planned: int, done: int) -> int | None:
    return settling([interval], region, Conditions(planned, done), "seed").more


def test_at_the_edges() -> None:
    sampled = Interval(1.2, 1.0, 1.4, 6, spread=0.19)
    assert more(sampled, (1.2, INF), 6, 6) is None  # on the bound
    assert more(sampled, (-INF, INF), 6, 6) == 6  # nothing to clear: the next look
    assert more(Interval(0.3, None, None, 2, spread=0.0), (0.1, INF), 2, 2) == FEWEST - 2
    prompts = settling([proportion_interval(10, 10)], (0.9, 1.0), Conditions(6, 6), "seed")
    assert prompts.why_not == "all seeds agree; 10 prompts are too few to settle it"


def test_more_than_so_many_times_as_many_is_no_advice() -> None:
    found = [Interval(1.2, 1.0, 1.4, 6, spread=0.19)]
    for look in itertools.islice(looks(6), 1, 10):
        bound = 1.2 - 0.19 * 5.2 / math.sqrt(look.n)  # t at these levels lies between 3 and 5.2
        said = settling(found, (bound, INF), Conditions(6, 6), "seed")
        assert said.replicates is None or said.replicates <= MOST_TIMES * 6
        assert said.replicates or "times as many" in said.why_not
    assert "any number of seeds" in settling(found, (1.2, INF), Conditions(6, 6), "seed").why_not


@pytest.mark.parametrize("planned, done", [(6, 6), (6, 9), (2, 2), (5, 7), (10, 10)])
@pytest.mark.parametrize("truth, region", [(0.5, (0.0, INF)), (0.5, (-0.3, 1.0)), (1.0, (-INF, 0.5))])
def test_it_is_the_first_look_that_does(
    planned: int, done: int, truth: float, region: tuple[float, float]
) -> None:
    """At that look the same spread clears the bound at that look's level; at every earlier one to come it does not."""

    def of_spread(n: int, level: float) -> Interval:
        x = np.linspace(-1, 1, n)
        return mean_interval(truth + (x - x.mean()) / x.std(ddof=1), level)

    found = settling([of_spread(done, next(looks(planned)).level)], region, Conditions(planned, done), "seed")
    assert found.replicates is not None and found.more == found.replicates - done > 0
    to_come = [look for look in itertools.islice(looks(planned), 8) if done < look.n <= found.replicates]
    assert to_come[-1].n == found.replicates
    for look in to_come:
        is_settled = stand(of_spread(look.n, look.level), region) != "across"
        assert is_settled is (look == to_come[-1])


def test_a_ratio_is_settled_on_its_logs() -> None:
    rng = np.random.default_rng(1)
    a, b = np.exp(rng.normal(0.2, 0.3, 8)), np.exp(rng.normal(0, 0.3, 8))
    level = next(looks(8)).level
    plain = more(difference_interval(np.log(a), np.log(b), level), (math.log(1.05), INF), 8, 8)
    assert plain is not None and more(ratio_interval(a, b, level), (1.05, INF), 8, 8) == plain
    assert more(ratio_interval(a, b, level), (-1.0, INF), 8, 8) == 8  # below zero bounds nothing


def test_steps_of_an_order_share_the_level_of_each_look() -> None:
    """Two steps may have half of the error each as they are; with seven each gets less, and needs more."""
    first = next(looks(6)).level
    x = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]) + 0.53
    alone, shared = (
        settling([mean_interval(x, level)], (0.0, INF), Conditions(6, 6), "seed", strict=True)
        for level in (first, 1 - (1 - first) * 2 / 7)
    )
    assert (alone.replicates, shared.replicates) == (24, 48)  # t is 3.1 and 3.6 there
    both = settling(
        [mean_interval(x, first), mean_interval(x - 0.3, first)], (0.0, INF), Conditions(6, 6), "seed"
    )
    assert both.replicates is not None and both.replicates > 12 and both.chance is None


@pytest.mark.parametrize("region", [(0.0, INF), (-0.4, 0.4)], ids=["one-bound", "two-bounds"])
def test_the_predicted_number_settles_as_often_as_it_says(region: tuple[float, float]) -> None:
    """Truths and deviations of all kinds, six replicates, then the advice is followed: at that look, at its level, on all
    of them. Spreads at the edge of what is drawn are passed over: their deviation would be known better than by them."""
    rng, levels = np.random.default_rng(5), {look.n: look.level for look in itertools.islice(looks(6), 8)}
    draws = 60_000
    deviation, truth = np.exp(rng.uniform(math.log(0.1), math.log(2), draws)), rng.uniform(-6, 6, draws)
    first = truth[:, None] + deviation[:, None] * rng.normal(size=(draws, 6))
    spread = first.std(axis=1, ddof=1)
    chances, settled = [], []
    for i in np.flatnonzero((spread > 0.3) & (spread < 0.7) & (abs(first.mean(axis=1)) < 2)):
        now = mean_interval(first[i], levels[6])
        if stand(now, region) != "across":
            continue
        found = settling([now], region, Conditions(6, 6), "seed")
        if found.replicates is None:
            continue
        assert found.more is not None and found.chance is not None
        x = [*first[i], *rng.normal(truth[i], deviation[i], found.more)]
        chances.append(found.chance)
        settled.append(stand(mean_interval(x, levels[found.replicates]), region) != "across")
    said, seen = float(np.mean(chances)), float(np.mean(settled))
    print(f"{len(chances)} unclear at six, said {said:.3f}, seen {seen:.3f}")
    assert len(chances) > 1000 and seen > 0.5
    assert abs(said - seen) < 3 * math.sqrt(seen * (1 - seen) / len(settled))
    likely = np.array(chances) > np.median(chances)
    assert np.mean(np.array(settled)[likely]) > np.mean(np.array(settled)[~likely])


def test_a_preview_says_when_a_verdict_is_given() -> None:
    found = next_verdict([Interval(1.2, None, None, 1)], (1.0, INF), Conditions(6, 1))
    assert found == Settling(replicates=6, more=5)
    two = next_verdict([mean_interval([1.2, 1.3])], (1.0, INF), Conditions(2, 2))
    assert (two.replicates, two.more) == (6, 4) and two.chance is not None and 0 < two.chance < 1


def test_the_rule_says_why_it_goes_no_further() -> None:
    """A figure on its bound goes on to the last look, one of too few prompts nowhere, and a machine that is always busy
    is to be left alone first."""
    made = experiment()
    values = pd.DataFrame(
        [(name, "time", i, value) for i in range(192) for name, value in (("safe", 1.27 * (1 + 0.1 * (-1) ** i)), ("online", 1.0))],
        columns=["variant", "metric", "replicate", "value"],
    )  # fmt: skip

    def rule(n: int, **conditions: Any) -> Look | str:
        at = Conditions(6, n, **conditions)
        return look_to_come(
            judge(made, values[values.replicate < n], None, None, {"device": "cpu"}, at), at, "repeat"
        )

    assert isinstance(rule(6), Look) and rule(96) == list(itertools.islice(looks(6), 6))[-1]
    assert rule(192) == "still open at 192 repeats, the last look: claim"
    busy = frozenset(((), i) for i in range(6))
    assert (
        rule(6, busy=busy) == "the machine was busy with something else in every process, at 6 repeats: claim"
    )
    assert isinstance(rule(6, busy=frozenset(list(busy)[:5])), Look)  # one was not: there may be more of them
    off = rule(6, off={("", ()): "time of safe came out 8% above itself"})
    assert isinstance(off, str) and off.startswith(
        "more repeats would not settle what is open: claim: A/A control off"
    )


def experiment(**changes: object) -> Experiment:
    claim = {
        "id": "claim", "says": "it does", "source": "ours", "expect": {"at_least": 1.27},
        "measure": {"ratio": "time", "of": "safe", "over": "online"},
    }  # fmt: skip
    made = {
        "name": "softmax", "title": "t", "question": "q", "trial": "softmax", "baseline": "safe",
        "variants": {"safe": {}, "online": {}}, "metrics": {"time": {"unit": "ms", "kind": "timed"}},
        "claims": [claim], "repeats": 6,
    }  # fmt: skip
    return Experiment.model_validate(made | changes)


def test_the_command_grows_the_run_that_was_judged() -> None:
    """Six repeats about 1.3, of which ln(1.3/1.27) is 0.68 spreads from the bound: too little for 12 at their level."""
    logs = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]) * 0.0455
    rows = [(name, "time", i, value) for name, times in (("safe", 1.3 * np.exp(logs)), ("online", np.ones(6)))
            for i, value in enumerate(times)]  # fmt: skip
    values = pd.DataFrame(rows, columns=["variant", "metric", "replicate", "value"])
    made = experiment()
    (unclear,) = judge(made, values, None, None, {"device": "cpu"})
    assert unclear.word == "unclear" and unclear.settling is not None and unclear.more == 18
    said = command(unclear.settling, made, "djfg", "--results", "my results")
    assert shlex.split(said) == [
        "lab", "run", "softmax", "--resume", "djfg", "--repeats", "24", "--results", "my results",
    ]  # fmt: skip
    assert command(Settling(12, 6), experiment(repeats=None, seeds=6), "djfg").endswith("--seeds 12")
    assert command(Settling(why_not="too close"), made, "djfg") == ""
