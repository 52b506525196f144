"""The comparison table and the A/A control, on tables whose truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.analysis.comparison import compare
from lab.core.analysis.control import control
from lab.core.experiment.checks import COLUMNS, COMPARISON
from lab.core.experiment.schema import AGAIN, Experiment

FIELDS = ["variant", "columns", "metric", "replicate", "value"]


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "softmax", "title": "t", "question": "q", "trial": "softmax",
            "axes": {"columns": [1000, 4000]}, "baseline": "safe", "repeats": 6,
            "variants": {
                "loop": {"tier": "reference"}, "online": {}, "safe": {}, "same": {},
                "numba": {"tier": "compiled"}, "triton": {"tier": "compiled"},
            },
            "metrics": {
                "time": {"unit": "ms", "better": "lower", "kind": "timed"},
                "accesses": {"better": "lower", "kind": "counted"},
            },
        } | changes
    )  # fmt: skip


TRUE = {
    "loop": 50.0,
    "safe": 1.0,
    "safe" + AGAIN: 1.0,
    "online": 1.1,
    "same": 1.0,
    "numba": 0.2,
    "triton": 0.1,
}


def times(
    seed: int = 1, noise: float = 0.01, repeats: int = 6, true: dict[str, float] = TRUE
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for columns in (1000, 4000):
        for repeat in range(repeats):
            drift = rng.lognormal(0, 0.3)  # what pairing takes out
            for variant, ms in true.items():
                value = ms * columns / 1000 * drift * rng.lognormal(0, noise)
                rows.append((variant, columns, "time", repeat, value))
    for variant, count in {"safe": 4.0, "online": 3.0, "same": 4.0 + 1e-13}.items():
        rows += [(variant, columns, "accesses", 0, count) for columns in (1000, 4000)]
    return pd.DataFrame(rows, columns=FIELDS)


def row(table: pd.DataFrame, variant: str, metric: str = "time", columns: int = 1000) -> Any:
    found = table[(table.variant == variant) & (table.metric == metric) & (table["columns"] == columns)]
    assert len(found) == 1
    return found.iloc[0]


def test_its_columns_are_no_names_for_an_axis() -> None:
    found, empty = compare(experiment(), times()), compare(experiment(), times().iloc[:0])
    assert list(found.columns) == list(empty.columns) == ["variant", "columns", *COMPARISON]
    assert set(COMPARISON) < COLUMNS


def test_ratios_find_the_truth_inside_each_tier() -> None:
    table = compare(experiment(), times())
    online, numba, triton = (row(table, name) for name in ("online", "numba", "triton"))
    assert online.ratio == pytest.approx(1.1, rel=0.02) and online.ratio_low < 1.1 < online.ratio_high
    assert online.difference == "higher" and online.baseline == "safe" and online.n == 6
    assert numba.baseline == "numba" and numba.ratio == 1 and math.isnan(numba.ratio_low)
    assert triton.ratio == pytest.approx(0.5, rel=0.03) and triton.difference == "lower" and triton.best
    assert row(table, "same").difference == "~"
    assert row(table, "safe").difference == "" and row(table, "safe").ratio == 1


def test_estimates_are_medians_and_spread_is_relative() -> None:
    values = times()
    x = values.query("variant == 'online' and metric == 'time' and columns == 1000").value
    online = row(compare(experiment(), values), "online")
    assert online.estimate == pytest.approx(x.median())
    assert online.spread == pytest.approx((x.quantile(0.75) - x.quantile(0.25)) / x.median())
    assert online.low < online.estimate < online.high


def test_the_reference_is_never_ranked() -> None:
    loop = row(compare(experiment(), times()), "loop")
    assert loop.baseline == "" and loop.difference == "" and not loop.best and math.isnan(loop.ratio)


def test_the_control_is_no_variant() -> None:
    assert not compare(experiment(), times()).variant.str.endswith(AGAIN).any()


def best_of(true: dict[str, float], draws: int = 300, noise: float = 0.05) -> pd.Series:
    """How often each variant is called best, as a share of so many points at which these times are true."""
    points = list(range(draws))
    rng = np.random.default_rng(4)
    rows = [(name, point, "time", repeat, ms * rng.lognormal(0, noise))
            for name, ms in true.items() for point in points for repeat in range(6)]  # fmt: skip
    made = experiment(axes={"columns": points}, variants={name: {} for name in true}, baseline="a")
    table = compare(made, pd.DataFrame(rows, columns=FIELDS))
    return table.groupby("variant").best.sum() / draws


@pytest.mark.parametrize(
    "true",
    [
        {"a": 1.0, "b": 1.0},
        {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0},
        {"a": 1.0, "b": 1.0, "c": 2.0, "d": 2.0, "e": 2.0},  # two lead together: neither is best
        {"a": 1.0, "b": 1.0, "c": 1.0, "d": 2.0},
    ],
)
def test_nothing_is_best_where_another_is_as_good(true: dict[str, float]) -> None:
    """In 5 of 100 draws one of them may be; three standard errors more are forgiven."""
    assert best_of(true).sum() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_what_beats_every_rival_is_best() -> None:
    found = best_of({"a": 1.0, "b": 0.7, "c": 1.1, "d": 0.95}, noise=0.05)
    assert found["b"] > 0.9 and found.drop("b").sum() == 0


def test_counted_numbers_share_the_lead_and_no_lead_is_shared_by_all() -> None:
    def best(counts: dict[str, float]) -> list[str]:
        rows = [(name, 1000, "accesses", 0, count) for name, count in counts.items()]
        made = experiment(axes={"columns": [1000]}, variants={name: {} for name in counts}, baseline="a")
        table = compare(made, pd.DataFrame(rows, columns=FIELDS))
        return list(table[table.best].variant)

    assert best({"a": 3.0, "b": 3.0, "c": 4.0}) == ["a", "b"]
    assert best({"a": 3.0, "b": 3.0}) == [] and best({"a": 4.0, "b": 3.0}) == ["b"]


def test_times_have_their_interval_on_logarithms() -> None:
    """A skewed sample by hand: logs 0, 0, 0, 0, 0, 3 have mean 0.5 and spread √1.5."""
    values = pd.DataFrame(
        [("safe", 1000, "time", repeat, math.exp(log)) for repeat, log in enumerate([0, 0, 0, 0, 0, 3])]
        + [("online", 1000, "time", repeat, 1.0) for repeat in range(6)],
        columns=FIELDS,
    )
    half = 2.570582 * math.sqrt(1.5 / 6)  # of Student's t with five degrees of freedom
    safe, online = row(compare(experiment(), values), "safe"), row(compare(experiment(), values), "online")
    assert safe.estimate == 1.0
    assert (safe.low, safe.high) == pytest.approx((math.exp(0.5 - half), math.exp(0.5 + half)), rel=1e-6)
    assert online.ratio == pytest.approx(math.exp(-0.5))
    assert (online.ratio_low, online.ratio_high) == pytest.approx(
        (math.exp(-0.5 - half), math.exp(-0.5 + half)), rel=1e-6
    )


def test_counted_numbers_compare_exactly_but_for_rounding() -> None:
    table = compare(experiment(), times())
    online = row(table, "online", "accesses")
    assert online.estimate == 3 and math.isnan(online.low) and math.isnan(online.spread)
    assert online.ratio == 0.75 and online.change == -1 and online.difference == "lower" and online.best
    assert row(table, "same", "accesses").difference == "~"


def test_what_has_no_value_has_its_status() -> None:
    values = times().query("not (variant == 'online' and columns == 4000)")
    status = pd.DataFrame(
        [("online", 4000, "wrong", "row 3"), ("safe", 4000, "ok", "")],
        columns=["variant", "columns", "status", "reason"],
    )
    table = compare(experiment(), values, status)
    online = row(table, "online", columns=4000)
    assert (online.status, online.reason, online.n) == ("wrong", "row 3", 0)
    assert math.isnan(online.estimate) and online.difference == "" and not online.best
    missing = row(compare(experiment(), values), "online", columns=4000)
    assert missing.status == "missing"


def test_a_missing_baseline_leaves_figures_without_ratios() -> None:
    online = row(compare(experiment(), times().query("variant != 'safe'")), "online")
    assert online.estimate > 0 and math.isnan(online.ratio) and online.difference == ""


def test_an_infinite_error_is_shown_and_not_compared() -> None:
    values = times()
    values.loc[(values.variant == "online") & (values.metric == "accesses"), "value"] = math.inf
    online = row(compare(experiment(), values), "online", "accesses")
    assert online.estimate == math.inf and online.difference == "" and not online.best


def test_trained_numbers_differ_on_the_plain_scale() -> None:
    trained = experiment(
        repeats=None, seeds=6, axes={}, variants={"random": {}, "accuracy": {}}, baseline="random",
        metrics={"right": {"kind": "trained", "better": "higher"}},
    )  # fmt: skip
    rows = [("random", "right", seed, 0.0 if seed == 3 else 0.2 + seed / 100) for seed in range(6)]
    rows += [("accuracy", "right", seed, 0.6 + seed / 90) for seed in range(6)]
    table = compare(trained, pd.DataFrame(rows, columns=["variant", "metric", "replicate", "value"]))
    accuracy: Any = table.set_index("variant").loc["accuracy"]
    assert accuracy.difference == "higher" and accuracy.best
    assert accuracy.change_low < accuracy.change < accuracy.change_high
    assert math.isnan(accuracy.ratio)  # one seed got nothing right: no ratio


def test_one_repeat_shows_no_difference() -> None:
    table = compare(experiment(), times(repeats=1)).query("metric == 'time'")
    assert table.low.isna().all() and set(table.difference) <= {"", "~"} and not table.best.any()


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(random: Any) -> None:
    values = times()
    shuffled = values.iloc[random.sample(range(len(values)), len(values))]
    pd.testing.assert_frame_equal(compare(experiment(), values), compare(experiment(), shuffled))
    pd.testing.assert_frame_equal(control(experiment(), values), control(experiment(), shuffled))


def test_rows_stand_in_the_order_of_the_file() -> None:
    table = compare(experiment(axes={"columns": [4000, 1000]}), times()).query("metric == 'time'")
    assert list(table["columns"].unique()) == [4000, 1000]
    assert list(table.variant.unique()) == ["loop", "safe", "online", "same", "numba", "triton"]


def test_two_values_for_one_replicate_are_refused() -> None:
    values = times()
    with pytest.raises(ValueError, match="two values for time of loop, replicate 0, at columns=1000"):
        compare(experiment(), pd.concat([values, values.head(1)]))


def test_an_axis_may_not_hide_a_column() -> None:
    with pytest.raises(ValueError, match="cannot be called n:"):
        compare(experiment(axes={"n": [1]}), pd.DataFrame())


def test_an_empty_run_compares_to_an_empty_table() -> None:
    assert compare(experiment(), pd.DataFrame()).empty
    assert control(experiment(), pd.DataFrame()).empty
