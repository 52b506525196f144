"""Two small experiments with made-up readings, taken through the real comparison and the real verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.core.analysis.comparison import compare
from lab.core.analysis.judge import judge
from lab.core.analysis.verdicts import Verdict
from lab.core.experiment.schema import Experiment

COLUMNS = [1000, 32000, 256000]
CPU = {"device": "cpu", "threads": 1, "cpu": "A processor", "packages": {"torch": "2.13.0"}}


@dataclass(frozen=True)
class Analysed:
    experiment: Experiment
    comparison: pd.DataFrame
    verdicts: list[Verdict]
    curves: pd.DataFrame | None = None


def claim(id: str, measure: dict[str, Any], expect: dict[str, Any], **more: Any) -> dict[str, Any]:
    fixed = {
        "id": id,
        "says": f"What {id} says.",
        "source": "someone2018, §3",
        "measure": measure,
        "expect": expect,
    }
    return fixed | more


def timing(question: str = "What does it cost?", **changes: Any) -> Experiment:
    time = {"ratio": "time", "of": "online", "over": "safe", "where": {"columns": 32000}}
    as_declared: dict[str, Any] = {
        "name": "softmax",
        "title": "Softmax",
        "question": question,
        "sources": {"someone2018": {"title": "A paper", "ref": "arXiv:1805.02867"}},
        "trial": "softmax",
        "axes": {"columns": COLUMNS},
        "variants": {"loop": {"tier": "reference"}, "safe": {}, "online": {}, "mine": {}, "gpu only": {}},
        "baseline": "safe",
        "repeats": 6,
        "metrics": {
            "time": {"unit": "ms", "better": "lower", "kind": "timed"},
            "accesses": {"better": "lower", "kind": "counted"},
        },
        "plots": [
            {"x": "columns", "y": "time", "scale": "log-log"},
            {"x": "columns", "y": "time / baseline", "scale": "log-x"},
            {"x": "variant", "y": "accesses", "where": {"columns": "max"}},
        ],
        "claims": [
            claim(
                "counts",
                {"value": "accesses", "of": "safe", "where": {"columns": 1000}},
                {"at_least": 4},
                paper=4,
            ),
            claim("beaten", time, {"at_most": 0.5}, paper=0.8),
            claim("either-way", time, {"at_most": 0.9}),
            claim("elsewhere", time, {"at_most": 1}, setting={"device": "cuda"}, paper="up to 1.3x"),
            claim("absent", {"value": "time", "of": "mine", "where": {"columns": 1000}}, {"at_least": 1}),
        ],
    }
    return Experiment.model_validate(as_declared | changes)


def readings(experiment: Experiment, repeats: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    noise = np.random.default_rng(1)
    cost = {"loop": 40.0, "safe": 1.0, "online": 0.9}
    values: list[dict[str, Any]] = []
    status: list[dict[str, Any]] = []
    for variant in experiment.variants:
        state = {"mine": "wrong", "gpu only": "refused"}.get(variant, "ok")
        reason = {"wrong": "first row: error 0.5, allowed 1e-7", "refused": "needs a GPU"}.get(state, "")
        for columns in COLUMNS:
            point = {"variant": variant, "columns": columns}
            status.append(point | {"status": state, "reason": reason})
            if state != "ok":
                continue
            values.append(
                point | {"metric": "accesses", "replicate": 0, "value": 4.0 if variant == "safe" else 3.0}
            )
            for replicate in range(repeats):
                value = cost.get(variant, 1.0) * columns / 1000 * float(np.exp(noise.normal(0, 0.05)))
                values.append(point | {"metric": "time", "replicate": replicate, "value": value})
    return pd.DataFrame(values), pd.DataFrame(status)


@pytest.fixture(scope="session")
def make_timed() -> Callable[..., Analysed]:
    """A timing experiment seen on a CPU; keyword arguments change its file, `repeats_done` how much of it was run."""

    def make(repeats_done: int = 6, **changes: Any) -> Analysed:
        experiment = timing(**changes)
        values, status = readings(experiment, repeats_done)
        verdicts = judge(experiment, values, status, None, CPU)
        return Analysed(experiment, compare(experiment, values, status), verdicts)

    return make


@pytest.fixture(scope="session")
def timed(make_timed: Callable[..., Analysed]) -> Analysed:
    return make_timed()


@pytest.fixture(scope="session")
def trained() -> Analysed:
    experiment = Experiment.model_validate(
        {
            "name": "grpo", "title": "Reward alone", "question": "Does it?", "trial": "grpo", "axes": {},
            "variants": {"reward": {}, "random": {}}, "baseline": "random", "seeds": 6,
            "sources": {"r1": {"title": "R1"}},
            "metrics": {"accuracy": {"better": "higher", "kind": "trained"}},
            "plots": [{"x": "step", "y": "accuracy"}],
            "claims": [
                claim("rises", {"value": "accuracy", "of": "reward"}, {"at_least": 0.4}, paper=0.7, source="r1, §2")
            ],
        }
    )  # fmt: skip
    noise = np.random.default_rng(2)
    curves = pd.DataFrame(
        {
            "variant": variant, "metric": "accuracy", "replicate": seed, "step": step,
            "value": 0.2 + (0.03 * step if variant == "reward" else 0) + float(noise.normal(0, 0.02)),
        }
        for variant in experiment.variants for seed in range(6) for step in range(11)
    )  # fmt: skip
    values = curves[curves["step"] == 10].drop(columns="step")
    return Analysed(
        experiment, compare(experiment, values), judge(experiment, values, None, curves, CPU), curves
    )
