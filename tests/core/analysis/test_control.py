"""The A/A control of every tier, and what it does to verdicts about times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.core.analysis.conditions import Conditions
from lab.core.analysis.control import control, off_in, off_words
from lab.core.analysis.judge import judge
from lab.core.analysis.verdicts import Verdict
from lab.core.experiment.schema import AGAIN, Experiment

TIERS = {
    "loop": {"tier": "reference"},
    "safe": {},
    "online": {},
    "numba": {"tier": "compiled"},
    "triton": {"tier": "compiled"},
}
TRUE = {
    "loop": 50.0,
    "safe": 1.0,
    "safe" + AGAIN: 1.0,
    "online": 1.1,
    "numba": 0.2,
    "numba" + AGAIN: 0.2,
    "triton": 0.1,
}


def claim(
    id: str, metric: str, of: str, over: str, columns: int, expect: dict[str, float], **more: Any
) -> dict[str, Any]:
    measure = {"ratio": metric, "of": of, "over": over, "where": {"columns": columns}}
    return {"id": id, "says": "s", "source": "ours", "measure": measure, "expect": expect} | more


CLAIMS = [
    claim("plain", "time", "online", "safe", 1000, {"at_least": 1.05}),
    claim("compiled", "time", "numba", "triton", 1000, {"at_least": 1.5}),
    claim("compiled-later", "time", "numba", "triton", 4000, {"at_least": 1.5}),
    claim("rate", "throughput", "triton", "numba", 1000, {"at_least": 1.5}),
    claim("starred", "time", "numba", "triton", 1000, {"at_least": 1.5}, setting={"device": "V100"}),
    claim("counted", "accesses", "numba", "triton", 1000, {"at_least": 1}),
    {"id": "slope", "says": "s", "source": "ours", "expect": {"between": [0.9, 1.1]},
     "measure": {"exponent": "time", "of": "numba", "over": "columns"}},
]  # fmt: skip


def experiment() -> Experiment:
    return Experiment.model_validate(
        {
            "name": "softmax", "title": "t", "question": "q", "trial": "softmax", "axes": {"columns": [1000, 4000]},
            "baseline": "safe", "repeats": 6, "variants": TIERS, "claims": CLAIMS,
            "metrics": {
                "time": {"unit": "ms", "better": "lower", "kind": "timed"},
                "throughput": {"unit": "GFLOP/s", "better": "higher", "kind": "timed"},
                "accesses": {"better": "lower", "kind": "counted"},
            },
        }
    )  # fmt: skip


def times(
    true: dict[str, float] = TRUE,
    at: dict[int, dict[str, float]] | None = None,
    noise: float = 0.01,
    repeats: int = 6,
) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = []
    drifts = rng.lognormal(0, 0.3, repeats)
    for columns in (1000, 4000):
        for repeat, drift in enumerate(drifts):
            for variant, ms in (true | (at or {}).get(columns, {})).items():
                value = ms * columns / 1000 * drift * rng.lognormal(0, noise)
                rows += [
                    (variant, columns, "time", repeat, value),
                    (variant, columns, "throughput", repeat, 1 / value),
                ]
        rows += [(variant, columns, "accesses", 0, 3.0) for variant in ("numba", "triton")]
    return pd.DataFrame(rows, columns=["variant", "columns", "metric", "replicate", "value"])


def verdicts(
    values: pd.DataFrame, busy: frozenset[Any] = frozenset(), complete: int = 6
) -> dict[str, Verdict]:
    made = experiment()
    conditions = Conditions(6, complete, busy, off_in(control(made, values), made.point_keys))
    return {v.claim: v for v in judge(made, values, None, None, {"device": "cpu"}, conditions)}


def test_a_quiet_control_is_fine_and_a_shifted_one_is_off() -> None:
    table = control(experiment(), times())
    assert list(table["columns"]) == [1000, 1000, 4000, 4000] and list(table.variant) == ["safe", "numba"] * 2
    assert not table.off.any() and (table.n == 6).all() and set(table.metric) == {"time"}
    shifted = control(experiment(), times(TRUE | {"safe" + AGAIN: 1.08}))
    assert list(shifted.off) == [True, False, True, False]
    assert off_words(shifted, ["columns"])[0].startswith("columns=1000: time of safe came out ")
    tiny = control(experiment(), times(TRUE | {"safe" + AGAIN: 1.01}, noise=0.0005)).query(
        "variant == 'safe'"
    )
    assert (tiny.low > 1).all() and not tiny.off.any()  # seen, but too small to matter


def test_with_every_control_right_all_are_judged() -> None:
    words = {name: v.word for name, v in verdicts(times()).items()}
    assert words.pop("starred") == "faster*" and set(words.values()) == {"holds"}


def test_a_control_that_is_off_makes_previews_of_the_times_of_its_tier_at_its_point() -> None:
    off = verdicts(times(at={1000: {"numba" + AGAIN: 0.22}}))
    said = "A/A control off: time of numba came out "
    for name, leaning in {
        "compiled": "holds",
        "rate": "holds",
        "starred": "faster*",
        "slope": "holds",
    }.items():
        assert off[name].word == "preview" and off[name].detail.startswith(f"leans to {leaning}: {said}"), (
            name
        )
        assert off[name].here and off[name].more is None
    assert {off[name].word for name in ("plain", "compiled-later", "counted")} == {"holds"}


def test_a_busy_machine_makes_previews_of_times_and_says_why() -> None:
    busy = verdicts(times(), busy=frozenset({((1000,), 1), ((1000,), 4)}))
    for name in ("plain", "compiled", "rate", "starred", "slope"):
        assert busy[name].word == "preview", name
    reason = "the machine was busy with something else in 2 of 6 timing processes"
    assert busy["plain"].detail == f"leans to holds: {reason}; 6 more on a quiet one would give a verdict"
    assert busy["plain"].more == 6
    assert "in 2 of 12 timing processes;" in busy["slope"].detail
    assert {busy[name].word for name in ("compiled-later", "counted")} == {"holds"}


def test_busy_processes_are_left_out_where_six_others_are_there() -> None:
    """At the second look ten of twelve were quiet; what the two others measured is not used."""
    values = times(repeats=12)
    wild = (values.replicate.isin([1, 4])) & (values.variant == "online") & (values["columns"] == 1000)
    values.loc[wild & (values.metric == "time"), "value"] *= 30
    found = verdicts(values, busy=frozenset({((1000,), 1), ((1000,), 4)}), complete=12)["plain"]
    assert found.word == "holds" and found.replicates == 10
    assert found.detail == "2 of 12 processes left out: the machine was busy with something else"
    assert found.interval is not None and found.interval.estimate == pytest.approx(1.1, rel=0.02)
    assert verdicts(values, complete=12)["plain"].word == "unclear"
