"""How often a verdict is false when a run is continued until it suits, simulated through `judge` on known truths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.core.analysis.conditions import Conditions
from lab.core.analysis.judge import judge
from lab.core.analysis.looks import looks
from lab.core.analysis.settle import look_to_come
from lab.core.analysis.statistics import ratio_interval
from lab.core.analysis.verdicts import Verdict
from lab.core.experiment.schema import Experiment

DRAWS, MOST, TRUTH = 1000, 48, 1.05
FORGIVEN = 3 * math.sqrt(0.05 * 0.95 / DRAWS)  # three standard errors


def experiment(regions: Sequence[dict[str, float]], draws: int = DRAWS) -> Experiment:
    """Each draw is a pair of variants of its own, and each region a claim about their ratio."""
    claims = [
        {
            "id": f"claim-{draw}-{i}", "says": "s", "source": "ours", "expect": region,
            "measure": {"ratio": "time", "of": f"of-{draw}", "over": f"over-{draw}"},
        }
        for draw in range(draws) for i, region in enumerate(regions)
    ]  # fmt: skip
    names = [f"{side}-{draw}" for draw in range(draws) for side in ("of", "over")]
    return Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "baseline": "of-0", "repeats": 6,
            "variants": {name: {} for name in names}, "metrics": {"time": {"unit": "ms", "kind": "timed"}},
            "claims": claims,
        }
    )  # fmt: skip


def measured(draws: int = DRAWS, most: int = MOST) -> tuple[np.ndarray, pd.DataFrame]:
    """(draws, most) ratios whose truth is TRUTH, and the table of times they come from."""
    rng = np.random.default_rng(8)
    over = rng.lognormal(0, 0.3, (draws, most))
    ratio = TRUTH * rng.lognormal(0, 0.1, (draws, most))
    tables = []
    for side, times in (("of", over * ratio), ("over", over)):
        names = np.repeat([f"{side}-{draw}" for draw in range(draws)], most)
        replicates = np.tile(np.arange(most), draws)
        tables.append(
            pd.DataFrame(
                {"variant": names, "metric": "time", "replicate": replicates, "value": times.ravel()}
            )
        )
    return ratio, pd.concat(tables)


@pytest.fixture(scope="module")
def continued() -> dict[int, list[Verdict]]:
    """The verdicts on "at least the truth" and "at most the truth" at each number of repeats that a run stops at."""
    made, (_, values) = experiment([{"at_least": TRUTH}, {"at_most": TRUTH}]), measured()
    return {
        done: judge(made, values[values.replicate < done], None, None, {"device": "cpu"}, Conditions(6, done))
        for done in (6, 9, 12, 24, 48)
    }


def test_whoever_stops_when_it_suits_is_wrong_in_five_of_a_hundred_runs(
    continued: dict[int, list[Verdict]],
) -> None:
    """The truth lies on the bound of both claims, so each "fails here" is false: once, at any look, is counted."""
    false = {
        verdict.claim.rpartition("-")[0]
        for verdicts in continued.values() for verdict in verdicts if verdict.word == "fails here"
    }  # fmt: skip
    share = len(false) / DRAWS
    print(f"false at some look: {share:.2%}")
    assert 0.02 < share <= 0.05 + FORGIVEN


def test_a_single_look_errs_as_often_as_its_level_says(continued: dict[int, list[Verdict]]) -> None:
    for look in itertools.islice(looks(6), 4):
        error, verdicts = 1 - look.level, continued[look.n]
        false = sum(verdict.word == "fails here" for verdict in verdicts) / DRAWS
        assert abs(false - error) <= 3 * math.sqrt(error / DRAWS)
        assert {verdict.interval.level for verdict in verdicts if verdict.interval} == {look.level}


def test_looking_after_every_repeat_at_95_percent_would_be_wrong_three_times_as_often() -> None:
    """What the rule is there for: the same draws, judged after each repeat from six on."""
    ratio, _ = measured(400)
    wrong = sum(
        any(ratio_interval(row[:n], np.ones(n)).excludes(TRUTH) for n in range(6, MOST + 1)) for row in ratio
    )
    assert wrong / 400 > 0.12


def test_between_looks_verdict_and_interval_stand(continued: dict[int, list[Verdict]]) -> None:
    for six, nine in zip(continued[6], continued[9], strict=True):
        assert (nine.word, nine.interval, nine.here) == (six.word, six.interval, six.here)
        assert nine.detail.endswith("judged at 6 of 9 repeats; the next look is at 12")
        if nine.more is not None:
            assert nine.more in (3, 15, 39, 87, 183, 375, 759) and six.more == nine.more + 3


def test_what_is_far_from_its_bound_is_judged_right() -> None:
    made, (_, values) = experiment([{"at_least": 0.7}, {"at_most": 0.7}], 200), measured(200)
    first = judge(made, values, None, None, {"device": "cpu"}, Conditions(6, 6))
    words = {(verdict.expected, verdict.word) for verdict in first}
    assert words == {("at least 0.7", "holds"), ("at most 0.7", "fails here")}


def test_an_order_of_many_steps_errs_no_more_often() -> None:
    """Eight that truly grow, by nothing to speak of: one step of seven the wrong way would refute it."""
    draws, names = 300, [*"abcdefgh"]
    rng = np.random.default_rng(3)
    made: Any = experiment([{"at_least": 1}], 1).model_dump() | {
        "variants": {name: {} for name in names}, "baseline": "a", "axes": {"size": list(range(draws))},
        "claims": [
            {"id": f"claim-{draw}", "says": "s", "source": "ours", "expect": {"order": "increasing"},
             "measure": {"order": "time", "of": names, "where": {"size": draw}}}
            for draw in range(draws)
        ],
    }  # fmt: skip
    rows = [(name, draw, "time", repeat, 1 + 1e-9 * i + rng.normal(0, 0.01))
            for i, name in enumerate(names) for draw in range(draws) for repeat in range(6)]  # fmt: skip
    values = pd.DataFrame(rows, columns=["variant", "size", "metric", "replicate", "value"])
    verdicts = judge(Experiment.model_validate(made), values, None, None, {"device": "cpu"})
    share = sum(verdict.word == "fails here" for verdict in verdicts) / draws
    assert share <= 0.03125 + 3 * math.sqrt(0.03125 / draws)


def until_settled(region: dict[str, float], draws: int) -> dict[str, tuple[str, int]]:
    """The last word on each claim, and at how many repeats, where each is a run of `lab run --until settled` of its own."""
    made, (_, values) = experiment([region], draws), measured(draws, 192)
    conditions, ended = Conditions(6, 6), dict[str, tuple[str, int]]()
    while len(ended) < draws:
        verdicts = judge(
            made, values[values.replicate < conditions.complete], None, None, {"device": "cpu"}, conditions
        )
        to_come = {verdict.claim: look_to_come([verdict], conditions, "repeat") for verdict in verdicts}
        for verdict in verdicts:
            if isinstance(to_come[verdict.claim], str):
                ended.setdefault(verdict.claim, (verdict.word, conditions.complete))
        conditions = Conditions(6, conditions.next_look.n)
    return ended


@pytest.mark.parametrize(
    "region", [{"at_least": TRUTH}, {"at_most": TRUTH}], ids=["from-above", "from-below"]
)
def test_until_settled_is_wrong_as_often_as_all_looks_may_be(region: dict[str, float]) -> None:
    """The truth lies on the bound, so most go on to the end of the rule, and each "fails here" is false. One side of two
    may err half of 5%."""
    ended = until_settled(region, 400)
    false = sum(word == "fails here" for word, _ in ended.values()) / len(ended)
    most = sum(n == 192 for _, n in ended.values()) / len(ended)
    print(f"false: {false:.2%}, at the last look: {most:.0%}")
    assert false <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / len(ended)) and most > 0.9


def test_until_settled_finds_out_what_can_be_found_out() -> None:
    """A truth half a deviation above the bound: settled, and right, most of them long before the last look."""
    ended = until_settled({"at_least": TRUTH * math.exp(-0.05)}, 200)
    words = [word for word, _ in ended.values()]
    assert words.count("holds") > 195 and words.count("fails here") <= 2
    assert 24 <= np.median([n for _, n in ended.values()]) <= 96


def test_looks_taken_again_after_a_failure_err_no_more_often() -> None:
    """Ten repeats, of which one failed and is done again after the look, and so at the next: five looks in all."""
    made, (_, values) = experiment([{"at_least": TRUTH}, {"at_most": TRUTH}], 400), measured(400)
    false = set[str]()
    for n, missing, again in (
        (10, 3, ()),
        (10, None, (10,)),
        (20, 13, (10,)),
        (20, None, (10, 20)),
        (40, None, (10, 20)),
    ):
        seen = values[(values.replicate < n) & (values.replicate != missing)]
        verdicts = judge(made, seen, None, None, {"device": "cpu"}, Conditions(10, n, again=again))
        false |= {v.claim.rpartition("-")[0] for v in verdicts if v.word == "fails here"}
        assert {v.replicates for v in verdicts} == {n - (missing is not None)}
    share = len(false) / 400
    print(f"false at some look: {share:.2%}")
    assert 0.01 < share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
