"""Which word a claim gets: the truth table, and the words around it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.analysis.comparison import compare
from lab.core.analysis.conditions import Conditions
from lab.core.analysis.judge import judge
from lab.core.analysis.verdicts import Verdict, chances, claims_table, tally
from lab.core.experiment.schema import Experiment

CPU, GPU = {"device": "cpu"}, {"device": "cuda", "device_name": "NVIDIA H200"}
SIX = np.array([-0.05, 0.04, -0.02, 0.03, -0.01, 0.01])  # sums to nothing; spread 0.034


def experiment(*claims: dict[str, Any], training: bool = False, **changes: Any) -> Experiment:
    filled = [
        {"id": f"claim-{i}", "says": "it does", "source": "ours"} | claim for i, claim in enumerate(claims)
    ]
    return Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "params": {"rows": 64},
            "axes": {"columns": [1000, 4000, 16000]}, "baseline": "safe",
            "variants": {"safe": {}, "online": {}, "naive": {}},
            "seeds" if training else "repeats": 6,
            "metrics": {
                "time": {"unit": "ms", "kind": "timed", "better": "lower"},
                "rate": {"unit": "GFLOP/s", "kind": "timed"},
                "accesses": {"kind": "counted"},
                "right": {"kind": "trained", "out_of": 64},
                "tokens": {"kind": "trained"},
            },
            "claims": filled,
        } | changes
    )  # fmt: skip


def rows(variant: str, metric: str, x: Any, columns: int = 1000) -> list[tuple[Any, ...]]:
    return [(variant, columns, metric, i, float(value)) for i, value in enumerate(np.atleast_1d(x))]


def table(*parts: list[tuple[Any, ...]]) -> pd.DataFrame:
    flat = [row for part in parts for row in part]
    return pd.DataFrame(flat, columns=["variant", "columns", "metric", "replicate", "value"])


def verdict(claim: dict[str, Any], values: pd.DataFrame, environment: Any = CPU, **more: Any) -> Verdict:
    status, curves, conditions = (more.pop(name, None) for name in ("status", "curves", "conditions"))
    (found,) = judge(experiment(claim, **more), values, status, curves, environment, conditions)
    return found


def ratio(expect: dict[str, Any], metric: str = "time", **claim: Any) -> dict[str, Any]:
    measure = {"ratio": metric, "of": "safe", "over": "online", "where": {"columns": 1000}}
    return {"measure": measure, "expect": expect} | claim


def arms(r: float, metric: str = "time", n: int = 6, spread: float = 1.0) -> pd.DataFrame:
    """safe takes r times online's, give or take 4.2% (half-width of the first look's interval)."""
    drift = np.exp(np.linspace(0, 1, n))
    noise = np.exp(spread * SIX[:n])
    return table(rows("safe", metric, r * drift * noise), rows("online", metric, drift))


# The half-width of the interval at the first look is 4.2%: 1.3 reads [1.25, 1.35].
@pytest.mark.parametrize(
    "expect, word",
    [
        ({"at_least": 1.05}, "holds"),
        ({"at_least": 1.24}, "holds"),
        ({"at_least": 1.27}, "unclear"),
        ({"at_least": 1.33}, "unclear"),
        ({"at_least": 1.36}, "fails here"),
        ({"at_most": 1.36}, "holds"),
        ({"at_most": 1.33}, "unclear"),
        ({"at_most": 1.2}, "fails here"),
        ({"between": [1.2, 1.4]}, "holds"),
        ({"between": [1.29, 1.31]}, "unclear"),
        ({"between": [1.29, 1.5]}, "unclear"),
        ({"between": [0.9, 1.1]}, "fails here"),
        ({"between": [1.5, 1.9]}, "fails here"),
        ({"at_least": 1.2, "at_most": 1.5}, "holds"),
    ],
)
def test_a_ratio_beside_its_region(expect: dict[str, Any], word: str) -> None:
    found = verdict(ratio(expect), arms(1.3))
    assert found.word == word and (found.settling is not None) == (word == "unclear")
    assert found.here == "1.30x [1.25, 1.35]" and found.unit == "x" and found.letter == "T"
    assert found.replicates == 6 and found.settled == (word in ("holds", "fails here"))


def test_unclear_says_what_would_settle_it() -> None:
    found = verdict(ratio({"at_least": 1.27}), arms(1.3))
    # ln(1.3/1.27) is 0.68 spreads: too little for 12 repeats at their level (t = 3.14), enough for 24 (t = 3.13)
    assert found.more == 18 and found.detail == "18 more repeats would settle it, at this spread"
    hopeless = verdict(ratio({"at_least": 1.3001}), arms(1.3))
    assert hopeless.more is None and "too close to the bound" in hopeless.detail
    far = verdict(ratio({"at_least": 1.294}), arms(1.3))
    assert (
        far.more is None
        and far.detail == "too close to the bound: it would take about 768 repeats, 128 times as many"
    )


@pytest.mark.parametrize("r, leaning", [(1.3, "holds"), (1.0, "fails here")])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_under_six_replicates_is_a_preview(r: float, leaning: str, n: int) -> None:
    found = verdict(ratio({"at_least": 1.2}), arms(r, n=n))
    assert found.word == "preview" and found.detail.startswith(f"leans to {leaning}: {n} of the 6 repeats")
    assert found.more is not None and found.more >= 6 - n


@pytest.mark.parametrize(
    "count, expect, word",
    [
        (4, {"between": [1.30, 1.36]}, "holds"),
        (3, {"at_most": 1}, "holds"),
        (3 * (1 + 1e-13), {"at_most": 1}, "holds"),  # a hair of rounding
        (3 * (1 + 1e-6), {"at_most": 1}, "fails here"),
        (5, {"between": [1.30, 1.36]}, "fails here"),
        (0, {"at_most": 2}, "holds"),
    ],
)
def test_counted_numbers_are_judged_as_they_are(count: float, expect: dict[str, Any], word: str) -> None:
    values = table(rows("safe", "accesses", count), rows("online", "accesses", 3))
    found = verdict(ratio(expect, "accesses", setting={"device": "V100"}), values)
    assert found.word == word and found.letter == "C" and found.interval is not None
    assert found.interval.low is None and found.replicates == 1
    assert found.differences == ("device: V100 there, CPU here",)


@pytest.mark.parametrize(
    "of, expect, r, word, says",
    [
        # the claim: `over` (online) is faster, safe/online at least 1.05
        ("safe", {"at_least": 1.05}, 1.3, "faster*", "online is faster than safe"),
        ("safe", {"at_least": 1.05}, 0.6, "slower*", "online is slower than safe"),
        ("safe", {"at_least": 1.1}, 1.01, "same*", "no difference seen between safe and online"),
        # the same, said the other way round: online/safe at most 0.95
        ("online", {"at_most": 0.95}, 1.3, "faster*", "online is faster than safe"),
        ("online", {"at_most": 0.95}, 0.6, "slower*", "online is slower than safe"),
        ("online", {"at_most": 0.9}, 1.01, "same*", "no difference seen between online and safe"),
        # the right direction, but not as far as claimed, or farther
        ("safe", {"at_least": 1.7}, 1.3, "lower*", "online is faster than safe, but less than claimed"),
        ("online", {"at_most": 0.5}, 1.3, "higher*", "online is faster than safe, but less than claimed"),
        (
            "safe",
            {"between": [1.05, 1.1]},
            1.3,
            "higher*",
            "online is faster than safe, but beyond what is claimed",
        ),
        (
            "online",
            {"between": [0.9, 0.95]},
            1.3,
            "lower*",
            "online is faster than safe, but beyond what is claimed",
        ),
        # across the bound
        (
            "safe",
            {"at_least": 1.3},
            1.3,
            "unclear*",
            "online is faster than safe; unclear whether as claimed",
        ),
        (
            "safe",
            {"at_least": 1.05},
            1.01,
            "unclear*",
            "no difference seen between safe and online; unclear whether as claimed",
        ),
        # claimed to be the same
        ("safe", {"between": [0.9, 1.1]}, 1.01, "same*", "no difference seen between safe and online"),
        ("online", {"between": [0.9, 1.1]}, 1.3, "faster*", "online is faster than safe"),
    ],
)
def test_times_claimed_for_another_device(
    of: str, expect: dict[str, Any], r: float, word: str, says: str
) -> None:
    claim = ratio(expect, setting={"device": "V100"})
    claim["measure"] |= {"of": of, "over": "online" if of == "safe" else "safe"}
    found = verdict(claim, arms(r))
    assert found.word == word and not found.settled and found.more is None
    assert found.detail == f"claimed for V100, seen on a CPU: {says}"
    assert found.differences == ("device: V100 there, CPU here",)
    assert (verdict(claim, arms(r), GPU).word == "unclear") == (word == "unclear*")


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0.3, 3),
    st.floats(0.3, 3),
    st.floats(0.001, 0.5),
    st.booleans(),
    st.sampled_from(["time", "rate"]),
)
def test_a_starred_word_for_a_direction_is_within_the_bound(
    bound: float, r: float, spread: float, is_at_least: bool, metric: str
) -> None:
    """Where the bound lies beyond 1, the claimed direction is said only of an interval that meets the bound, and the
    other one only of an interval on the other side of 1."""
    expect = {"at_least": bound} if is_at_least else {"at_most": bound}
    claim = ratio(expect, metric, setting={"device": "V100"})
    found = verdict(claim, arms(r, metric, spread=10 * spread))
    assert found.interval is not None and found.interval.low is not None and found.interval.high is not None
    low, high = found.interval.low, found.interval.high
    inside = low >= bound if is_at_least else high <= bound
    outside = high < bound if is_at_least else low > bound
    assert (found.word == "unclear*") == (not inside and not outside)
    if found.word == "same*":
        assert low <= 1 <= high
    if metric == "time" and (is_at_least and bound > 1 or not is_at_least and bound < 1):
        assert (found.word == "faster*") == inside
        assert (found.word == "slower*") == (high < 1 if is_at_least else low > 1)
        is_short = outside and (low > 1 if is_at_least else high < 1)
        assert ("but less than claimed" in found.detail) == is_short


@pytest.mark.parametrize("r, word", [(1.3, "higher*"), (0.7, "lower*"), (1.0, "same*")])
def test_other_figures_claimed_for_another_device(r: float, word: str) -> None:
    claim = ratio({"at_least": 1.05}, "rate", setting={"device": "cuda"})
    assert verdict(claim, arms(r, "rate")).word == word
    claim["measure"] = {"difference": "rate", "of": "safe", "over": "online", "where": {"columns": 1000}}
    claim["expect"] = {"at_least": 0.1}
    assert verdict(claim, arms(r, "rate", spread=0.1)).word == word
    value = {
        "measure": {"value": "rate", "of": "safe", "where": {"columns": 1000}},
        "expect": {"between": [90, 110]},
    }
    values = table(rows("safe", "rate", 100 * r * np.exp(SIX)))
    assert verdict(value | {"setting": {"device": "A100"}}, values).word == word


def test_a_preview_from_another_device_leans_to_the_starred_word() -> None:
    found = verdict(ratio({"at_least": 1.05}, setting={"device": "cuda"}), arms(0.6, n=2, spread=0.1))
    assert found.word == "preview" and found.detail.startswith("leans to slower*: 2 of the 6 repeats")


@pytest.mark.parametrize(
    "setting, environment, listed",
    [
        ({"device": "cuda", "rows": 4000}, CPU, ("device: GPU there, CPU here", "rows: 4000 there, 64 here")),
        ({"device": "V100"}, GPU, ("device: V100 there, NVIDIA H200 here",)),
        ({"device": "H200", "rows": 64.0}, GPU, ()),
        ({"device": "cpu"}, CPU, ()),
        ({"columns": 1000, "threads": 8}, CPU | {"threads": 1}, ("threads: 8 there, 1 here",)),
        ({"data": "AIME"}, CPU, ("data: AIME there, not known here",)),
    ],
)
def test_differences_of_setting(setting: Any, environment: Any, listed: tuple[str, ...]) -> None:
    assert verdict(ratio({"at_least": 1}, setting=setting), arms(1.3), environment).differences == listed


def status_of(*entries: tuple[str, int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(entries, columns=["variant", "columns", "status", "reason"])


@pytest.mark.parametrize(
    "state, words",
    [
        ("wrong", "online is wrong at columns=1000: because"),
        ("refused", "online refused at columns=1000: because"),
        ("failed", "online failed at columns=1000: because"),
        ("timeout", "online ran out of time at columns=1000: because"),
    ],
)
def test_what_did_not_run_right_is_not_tested(state: str, words: str) -> None:
    """Even where figures are there: a variant that is wrong is never fast."""
    status = status_of(("online", 1000, state, "because"), ("safe", 1000, "ok", ""))
    found = verdict(ratio({"at_least": 1}), arms(1.3), status=status)
    assert (found.word, found.detail, found.here, found.replicates) == ("not tested", words, "", 0)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"where": {"columns": 4000}}, "columns=4000 is not in this run"),
        ({"where": {}}, "`where` leaves out columns, which has 3 values in this run"),
        ({"where": {"columns": 1000, "depth": 3}}, "depth is not an axis of this run"),
        ({"over": "naive"}, "naive is not in this run"),
        ({"ratio": "rate"}, "rate of safe was not measured at columns=1000"),
        ({"ratio": "speed"}, "speed is not measured in this run"),
    ],
)
def test_what_is_not_there_is_not_tested(change: dict[str, Any], words: str) -> None:
    claim = ratio({"at_least": 1})
    claim["measure"] |= change
    found = verdict(claim, arms(1.3))
    assert (found.word, found.detail) == ("not tested", words)


@pytest.mark.parametrize(
    "metric, bad, words",
    [
        ("accesses", math.nan, "accesses of safe is nan (replicate 0)"),
        ("accesses", math.inf, "accesses of safe is inf (replicate 0)"),
        ("time", 0.0, "time of safe and online: 0 among numbers that must be above zero"),
    ],
)
def test_numbers_that_allow_no_ratio(metric: str, bad: float, words: str) -> None:
    values = table(rows("safe", metric, bad), rows("online", metric, 3))
    found = verdict(ratio({"at_least": 1}, metric), values)
    assert (found.word, found.detail) == ("not tested", words)
    zero = table(rows("safe", "accesses", 1), rows("online", "accesses", 0))
    assert verdict(ratio({"at_least": 1}, "accesses"), zero).detail == (
        "accesses of safe and online: no ratio of 1 to 0"
    )


def test_the_ends_of_an_axis_are_those_of_this_run() -> None:
    values = table(rows("safe", "accesses", 4, 16000), rows("safe", "accesses", 1, 1000))
    for end, count in (("max", 4), ("min", 1)):
        claim: Any = {"measure": {"value": "accesses", "of": "safe", "where": {"columns": end}},
                 "expect": {"between": [count, count]}}  # fmt: skip
        found = verdict(claim, values)
        assert found.word == "holds" and found.expected == f"exactly {count}"
    claim["measure"]["where"] = {}
    assert verdict(claim, values, axes={"columns": [1000]}).word == "holds"  # one value needs no naming


def test_a_value_holds_by_its_interval() -> None:
    claim = {
        "measure": {"value": "time", "of": "safe", "where": {"columns": 1000}},
        "expect": {"at_most": 11},
    }
    found = verdict(claim, table(rows("safe", "time", 10 * np.exp(SIX))))
    assert found.word == "holds" and found.unit == "ms" and found.here.startswith("10.0 ms [9.6")


# -- training ----------------------------------------


def right(measure: str, expect: dict[str, Any], metric: str = "right") -> dict[str, Any]:
    over = {"over": "safe"} if measure == "difference" else {}
    return {"measure": {measure: metric, "of": "online", "where": {"columns": 1000}} | over, "expect": expect}


def test_differences_are_paired_by_seed() -> None:
    drift = np.linspace(0.1, 0.5, 6)
    values = table(rows("safe", "right", drift), rows("online", "right", drift + 0.4 + SIX))
    found = verdict(right("difference", {"at_least": 0.3}), values, training=True)
    assert found.word == "holds" and found.here == "+0.40 [0.36, 0.44]" and found.letter == "R"
    # seeds that only one of them has are left out
    fewer = values[~((values.variant == "safe") & (values.replicate == 2))]
    assert verdict(right("difference", {"at_least": 0.3}), fewer, training=True).word == "preview"


def test_seeds_that_all_agree_get_the_interval_over_prompts() -> None:
    values = table(rows("online", "right", [1.0] * 6), rows("safe", "right", [0.25] * 6))
    found = verdict(right("value", {"at_least": 0.9}), values, training=True)
    assert found.word == "holds" and found.here == "1.00 [0.94, 1.00]"
    assert found.detail == "all 6 seeds agree: the interval is over prompts"
    close = verdict(right("value", {"at_least": 0.99}), values, training=True)
    assert close.word == "unclear" and close.more is None
    assert close.detail == "all seeds agree; 64 prompts are too few to settle it"
    apart = verdict(right("difference", {"at_least": 0.6}), values, training=True)
    # Newcombe's squares: 0.75 down by √(0.063² + 0.135²), up by √(0² + 0.106²)
    assert apart.word == "holds" and apart.here == "+0.75 [0.60, 0.86]"
    measure = {"ratio": "right", "of": "online", "over": "safe", "where": {"columns": 1000}}
    times_as_often = {"measure": measure, "expect": {"at_least": 2}}
    assert verdict(times_as_often, values, training=True).word == "holds"


def counting(counts: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Nothing right in 128 answers of each seed, and a metric that counts the distinct problems among them."""
    metrics = {
        "right": {"kind": "trained", "out_of": "distinct"},
        "distinct": {"kind": "trained"},
        "rate": {"kind": "trained", "out_of": 128},
    }
    values = table(
        rows("online", "right", [0.0] * 6),
        rows("online", "distinct", counts),
        rows("online", "rate", [0.0] * 6),
    )
    return values, {"metrics": metrics, "training": True}


def test_prompts_that_repeat_count_once() -> None:
    """Clopper and Pearson's upper end of 0 in n is 1 - (α/2)^(1/n), with n the fewest distinct of any seed."""
    values, more = counting([40, 37, 41, 39, 40, 38])
    for metric, n in (("right", 37), ("rate", 128)):
        found = verdict(right("value", {"at_most": 0.5}, metric), values, **more)
        assert found.interval is not None and found.interval.n == n
        assert found.interval.high == pytest.approx(1 - ((1 - found.interval.level) / 2) ** (1 / n))
    shown: Any = compare(experiment(**more), values).set_index("metric")
    assert shown.loc["right", "high"] == pytest.approx(0.095, abs=0.001)
    assert shown.loc["rate", "high"] == pytest.approx(0.028, abs=0.001)


def test_where_nobody_counted_the_prompts_agreement_says_nothing() -> None:
    values, more = counting([])
    found = verdict(right("value", {"at_most": 0.5}), values, **more)
    assert found.word == "unclear" and found.interval is not None and found.interval.n == 1


def test_what_a_verdict_is_limited_to_stands_beside_it() -> None:
    values = table(rows("online", "right", 0.9 + SIX), rows("online", "accesses", 3))
    made = experiment(
        right("value", {"at_least": 0.5}), right("value", {"at_most": 3}, "accesses"),
        right("value", {"at_most": 3}, "tokens"), training=True, holds_for="these two teachers",
    )  # fmt: skip
    sampled, counted, missing = judge(made, values, None, None, CPU)
    assert sampled.detail == "for these two teachers" and sampled.holds_for == "these two teachers"
    assert counted.holds_for == "" and counted.detail == "" and missing.holds_for == ""
    assert list(claims_table([sampled, counted]).holds_for) == ["these two teachers", ""]


def test_seeds_that_all_agree_without_prompts_say_so() -> None:
    values = table(rows("online", "tokens", [11] * 6))
    found = verdict(right("value", {"at_least": 10}, "tokens"), values, training=True)
    assert (found.word, found.detail) == ("holds", "all 6 seeds gave the same number")
    five = verdict(
        right("value", {"at_least": 10}, "tokens"),
        values[values.replicate < 5],
        training=True,
        conditions=Conditions(6, 5),
    )
    assert five.word == "preview" and five.more == 1


def order(direction: str, metric: str = "right", **claim: Any) -> dict[str, Any]:
    measure = {"order": metric, "of": ["safe", "online", "naive"], "where": {"columns": 1000}}
    return {"measure": measure, "expect": {"order": direction}} | claim


@pytest.mark.parametrize(
    "levels, increasing, decreasing",
    [
        ((0.2, 0.4, 0.6), "holds", "fails here"),
        ((0.6, 0.4, 0.2), "fails here", "holds"),
        ((0.2, 0.6, 0.4), "fails here", "fails here"),
        ((0.2, 0.4, 0.41), "unclear", "fails here"),
        ((0.4, 0.41, 0.42), "unclear", "unclear"),
    ],
)
def test_an_order_needs_every_step(levels: tuple[float, ...], increasing: str, decreasing: str) -> None:
    noise = [0 * SIX, SIX, SIX[::-1]]
    values = table(*(rows(name, "right", level + extra) for name, level, extra
                     in zip(("safe", "online", "naive"), levels, noise, strict=True)))  # fmt: skip
    for direction, word in (("increasing", increasing), ("decreasing", decreasing)):
        found = verdict(order(direction), values, training=True)
        assert found.word == word and found.interval is None and found.expected == direction
        assert (found.settling is not None) == (word == "unclear")
    assert " < " in verdict(order("increasing"), values, training=True).here or levels[0] > levels[1]


def test_an_order_of_counted_numbers_is_strict() -> None:
    parts = [rows(name, "accesses", count) for name, count in (("safe", 2), ("online", 3), ("naive", 3))]
    assert verdict(order("increasing", "accesses"), table(*parts)).word == "fails here"
    parts[2] = rows("naive", "accesses", 4)
    found = verdict(order("increasing", "accesses"), table(*parts))
    assert (found.word, found.here) == ("holds", "2 < 3 < 4")


def test_an_order_on_another_device() -> None:
    parts = [
        rows(name, "time", level * np.exp(SIX)) for name, level in (("safe", 1), ("online", 2), ("naive", 3))
    ]
    claim = order("decreasing", "time", setting={"device": "A100"})
    assert verdict(claim, table(*parts)).word == "higher*"


# -- along an axis and over steps ----------------------------------------


def exponent(
    expect: dict[str, Any], kind: str = "exponent", metric: str = "time", over: str = "columns"
) -> Any:
    return {"measure": {kind: metric, "of": "safe", "over": over}, "expect": expect}


def power(p: float, metric: str = "time", noise: float = 0.2, n: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    scale = np.exp(rng.normal(size=n))
    return table(*(rows("safe", metric, scale * columns**p * np.exp(noise * SIX[:n] * i), columns)
                   for i, columns in enumerate((1000, 4000, 16000))))  # fmt: skip


def test_exponents() -> None:
    found = verdict(exponent({"between": [0.9, 1.1]}), power(1.0))
    assert found.word == "holds" and found.unit == "" and found.here.startswith("1.00")
    assert verdict(exponent({"between": [0.9, 1.1]}), power(2.0)).word == "fails here"
    counted = power(2.0, "accesses", noise=0, n=1)
    assert verdict(exponent({"between": [2, 2]}, metric="accesses"), counted).word == "holds"


@pytest.mark.parametrize(
    "state, words",
    [("failed", "safe failed at columns=16000: out of memory"), ("ok", "columns=16000 is not in this run")],
)
def test_a_gap_along_the_axis_leaves_no_exponent(state: str, words: str) -> None:
    values = power(1.0)
    values = values[values["columns"] < 16000]
    status = status_of(("safe", 16000, "failed", "out of memory")) if state == "failed" else None
    found = verdict(exponent({"at_least": 0}), values, status=status)
    assert (found.word, found.detail) == ("not tested", words)


def test_an_axis_that_only_another_preset_sweeps_is_not_tested() -> None:
    claim = exponent({"at_most": 2}) | {"measure": {"exponent": "time", "of": "safe", "over": "depth"}}
    found = verdict(claim, power(1.0))
    assert (found.word, found.detail) == ("not tested", "depth is not swept in this run")


def test_too_few_points() -> None:
    values = power(1.0)
    one, two = values[values["columns"] < 2000], values[values["columns"] < 5000]
    assert verdict(exponent({"at_least": 0}), one, axes={"columns": [1000]}).detail == (
        "an exponent over columns needs two points; this run has 1"
    )
    assert verdict(exponent({"at_least": 0}, "trend"), two, axes={"columns": [1000, 4000]}).detail == (
        "a trend over columns needs three points; this run has 2"
    )


def test_a_trend_along_an_axis() -> None:
    found = verdict(exponent({"at_least": 0.9}, "trend"), power(1.0))
    assert found.word == "holds" and found.detail == "all 6 repeats gave the same number"


def curves(slope: float) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    made = [("safe", 1000, "tokens", seed, step, slope * step + rng.normal())
            for seed in range(6) for step in range(10)]  # fmt: skip
    return pd.DataFrame(made, columns=["variant", "columns", "metric", "replicate", "step", "value"])


def test_a_trend_over_steps_uses_the_curves() -> None:
    claim = exponent({"at_least": 0.5}, "trend", "tokens", "step")
    claim["measure"]["where"] = {"columns": 1000}
    values = table(rows("safe", "tokens", SIX))

    def word(slope: float) -> str:
        return verdict(claim, values, curves=curves(slope), training=True).word

    assert (word(1.0), word(-1.0)) == ("holds", "fails here")
    shown = verdict(claim, values, training=True)
    assert (shown.word, shown.detail) == ("not tested", "this run has no curves")


# -- checks ----------------------------------------


def test_a_key_that_only_checks_sweep_takes_the_params_value() -> None:
    keys = ["variant", "columns", "rows", "metric", "replicate", "value"]
    values = pd.DataFrame(
        [("safe", 1000, 64, "accesses", 0, 4.0), ("safe", 1000, 7, "accesses", 0, 5.0)], columns=keys
    )
    claim: Any = {
        "measure": {"value": "accesses", "of": "safe", "where": {"columns": 1000}},
        "expect": {"at_most": 4},
    }
    assert verdict(claim, values, checks={"rows": [7, 9]}).word == "holds"
    claim["measure"]["where"]["rows"] = 7
    assert verdict(claim, values, checks={"rows": [7, 9]}).word == "fails here"


def test_an_axis_that_was_added_takes_the_params_value() -> None:
    keys = ["variant", "columns", "rows", "metric", "replicate", "value"]
    values = pd.DataFrame(
        [("safe", 1000, 64, "accesses", 0, 4.0), ("safe", 1000, 128, "accesses", 0, 2.0)], columns=keys
    )
    where = {"columns": 1000}
    claim: Any = {
        "measure": {"value": "accesses", "of": "safe", "where": where},
        "expect": {"between": [4, 4]},
    }
    axes = {"columns": [1000, 4000], "rows": [64, 128]}
    assert verdict(claim, values, axes=axes).word == "holds"
    along: Any = {"measure": {"exponent": "accesses", "of": "safe", "over": "rows", "where": where}}
    assert verdict(along | {"expect": {"between": [-1.01, -0.99]}}, values, axes=axes).word == "holds"
    others = verdict(claim, values, axes={"columns": [1000, 4000], "rows": [1, 128]})
    assert (others.word, others.detail) == (
        "not tested", "`where` leaves out rows, which has 2 values in this run",
    )  # fmt: skip


# -- around the verdicts ----------------------------------------


def many() -> tuple[Experiment, pd.DataFrame]:
    claims = [ratio({"at_least": 1.05}, paper=1.3), ratio({"at_least": 1.27}), ratio({"at_least": 1.05},
              setting={"device": "V100"}), ratio({"at_least": 1}, "rate")]  # fmt: skip
    return experiment(*claims), arms(1.3)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(random: Any) -> None:
    made, values = many()
    shuffled = values.iloc[random.sample(range(len(values)), len(values))]
    assert judge(made, shuffled, None, None, CPU) == judge(made, values, None, None, CPU)


def test_claims_table_and_tally() -> None:
    made, values = many()
    verdicts = judge(made, values, None, None, CPU)
    claims: Any = claims_table(verdicts).set_index("claim")
    assert list(claims.word) == ["holds", "unclear", "faster*", "not tested"]
    assert claims.loc["claim-0", "estimate"] == pytest.approx(1.3) and claims.loc["claim-0", "paper"] == 1.3
    assert claims.loc["claim-0", "place"] == "columns=1000"
    assert claims.loc["claim-0", "variants"] == "safe; online"
    assert claims.loc["claim-1", "more"] == verdicts[1].more and pd.isna(claims.loc["claim-0", "more"])
    assert math.isnan(claims.loc["claim-3", "estimate"])
    assert tally(verdicts) == "1 holds, 1 other device, 1 unclear, 1 not tested"
    assert tally(verdicts * 2) == "2 hold, 2 other device, 2 unclear, 2 not tested"
    assert list(claims_table([]).columns) == list(claims_table(verdicts).columns)


def test_chances_of_the_sampled_claims() -> None:
    made, values = many()
    found = chances(judge(made, values, None, None, CPU), 6)
    assert list(found) == ["claim-0", "claim-1", "claim-2"]
    assert found["claim-0"] is not None and found["claim-0"] > 0.99
    assert found["claim-1"] is not None and found["claim-1"] < 0.6
