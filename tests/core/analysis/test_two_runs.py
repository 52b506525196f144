"""What changed between two runs: the machine's speed cancels, a true change is found, and false ones are rare."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lab.core.analysis.statistics import unpaired_interval
from lab.core.analysis.two_runs import Tables, changes, worse
from lab.core.experiment.schema import Experiment

STATUS = pd.DataFrame(columns=["variant", "size", "status", "reason"])


def experiment(**more: object) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "two", "title": "Two", "question": "?", "sources": {"ours": {"title": "ours"}}, "trial": "softmax",
            "axes": {"size": [1, 2]}, "variants": {"base": {}, "other": {}}, "baseline": "base", "repeats": 6,
            "metrics": {
                "time": {"unit": "ms", "better": "lower", "kind": "timed"},
                "accesses": {"better": "lower", "kind": "counted"},
                "right": {"better": "higher", "kind": "trained"},
            },
        } | more
    )  # fmt: skip


def run(
    rng: np.random.Generator, *, machine: float = 1.0, slower: float = 1.0, accesses: float = 4.0, right: float = 0.6,
    replicates: int = 8,
) -> Tables:  # fmt: skip
    """Times with 2% of noise of each variant and 10% that a replicate's two variants share."""
    rows = []
    for replicate in range(replicates):
        shared = machine * math.exp(0.1 * rng.normal())
        for variant, factor in (("base", 1.0), ("other", 0.5 * slower)):
            time = shared * factor * math.exp(0.02 * rng.normal())
            rows += [
                (variant, size, "time", replicate, 1e-3 * size * time) for size in (1, 2)
            ] + [(variant, 1, "right", replicate, right + 0.02 * rng.normal())]  # fmt: skip
    rows += [("other", 1, "accesses", 0, accesses)]
    values = pd.DataFrame(rows, columns=["variant", "size", "metric", "replicate", "value"])
    return Tables(experiment(), values, STATUS)


def row(table: pd.DataFrame, metric: str, variant: str = "other", size: int = 1) -> pd.Series:
    found = table[(table["metric"] == metric) & (table["variant"] == variant) & (table["size"] == size)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize("sizes", [(6, 6), (6, 20), (30, 7)])
def test_the_unpaired_interval_is_welchs(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 0.1, sizes[0]), rng.normal(2, 0.7, sizes[1])
    found, theirs = unpaired_interval(a, b), stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert found.low == pytest.approx(theirs.low) and found.high == pytest.approx(theirs.high)


def test_a_machine_three_times_as_slow_changes_nothing() -> None:
    before, after = run(np.random.default_rng(1)), run(np.random.default_rng(1), machine=3.0)
    found = row(changes(before, after), "time")
    assert (
        found["compared"] == "speed" and found["change"] == pytest.approx(1.0) and found["difference"] == "~"
    )
    assert found["before"] == pytest.approx(2.0, rel=0.05)


def test_a_kernel_that_became_a_fifth_slower_is_seen_and_named_worse() -> None:
    table = changes(run(np.random.default_rng(2)), run(np.random.default_rng(3), slower=1.25, machine=2.0))
    found = row(table, "time")
    assert found["difference"] == "worse" and found["worse_by"] == pytest.approx(0.2, abs=0.05)
    assert found["change_low"] < 0.8 < found["change_high"] < 1
    assert set(worse(table, 0.05)["metric"]) == {"time"} and worse(table, 0.5).empty
    assert (
        row(changes(run(np.random.default_rng(3), slower=1.25), run(np.random.default_rng(2))), "time")[
            "difference"
        ]
        == "better"
    )


def test_a_baseline_is_never_beside_itself_and_trained_figures_enter_as_they_are() -> None:
    table = changes(run(np.random.default_rng(4)), run(np.random.default_rng(5), right=0.4))
    assert table[(table["metric"] == "time") & (table["variant"] == "base")].empty
    for variant in ("base", "other"):
        found = row(table, "right", variant)
        assert found["change"] == pytest.approx(-0.2, abs=0.04) and found["difference"] == "worse"
        assert found["worse_by"] == pytest.approx(1 / 3, abs=0.07)


def test_counted_figures_differ_or_do_not() -> None:
    same = row(changes(run(np.random.default_rng(6)), run(np.random.default_rng(7))), "accesses")
    more = row(
        changes(run(np.random.default_rng(6)), run(np.random.default_rng(7), accesses=5.0)), "accesses"
    )
    assert same["difference"] == "~" and same["worse_by"] == 0
    assert more["difference"] == "worse" and more["worse_by"] == pytest.approx(0.25)


def test_few_replicates_say_nothing() -> None:
    table = changes(run(np.random.default_rng(8)), run(np.random.default_rng(9), slower=3.0, replicates=5))
    found = row(table, "time")
    assert found["difference"] == "" and math.isnan(found["change_low"]) and worse(table, 0.05).empty


def test_an_axis_that_one_run_lacks_is_the_value_of_params() -> None:
    before, after = run(np.random.default_rng(10)), run(np.random.default_rng(11))
    wider = experiment(axes={"size": [1, 2], "rows": [64, 128]})
    values = pd.concat([after.values.assign(rows=64), after.values.assign(rows=128)])
    at_64 = Tables(before.experiment.model_copy(update={"params": {"rows": 64}}), before.values, STATUS)
    table = changes(at_64, Tables(wider, values, STATUS.assign(rows=[])))
    assert set(table["rows"]) == {64}


def test_two_runs_of_the_same_thing_rarely_differ() -> None:
    """The level is shared among all rows: at most 5 of 100 pairs may have a single difference."""
    rng = np.random.default_rng(12)
    pairs = 200
    false = sum(
        changes(run(rng), run(rng))["difference"].isin(["better", "worse"]).any() for _ in range(pairs)
    )
    assert stats.binomtest(false, pairs, 0.05, alternative="greater").pvalue > 0.001
