"""What changed from one run to another, figure by figure. Replicates of two runs are neither merged nor paired.

Times of two sessions tell the machines apart, not the kernels. So a time enters as what it is within its own run: the
speed beside its tier's baseline, paired by replicate there. Counted and trained figures enter as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.schema import RATES, Experiment, Metric, Scalar
from .estimates import paired, value_of
from .statistics import FEWEST, LEVEL, Interval, log_mean_interval, unpaired_interval
from .tables import PointValues, Replicates, read

COLUMNS = [
    "metric", "kind", "unit", "compared",
    "before", "before_low", "before_high", "n_before", "after", "after_low", "after_high", "n_after",
    "change", "change_low", "change_high", "worse_by", "difference",
]  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """One run: the experiment as it ran, its values and their status, as in `tables.py`."""

    experiment: Experiment
    values: pd.DataFrame
    status: pd.DataFrame


def changes(before: Tables, after: Tables) -> pd.DataFrame:
    """A row for each variant, point and metric that both runs have, in the order of the later file.

    Columns: `variant`, the point keys of both, then
        metric, kind, unit
        compared: "speed" (a timed figure as how many times as fast as its baseline; 1.3 is 30% faster), "ratio" (timed,
            more is better, or neither), "value" (counted or trained, in the metric's unit)
        before, after with their 95% intervals and replicates
        change, change_low, change_high: after / before for speed and ratio, after − before for value. Unpaired (Welch).
            The interval's level is shared among all sampled rows (Bonferroni): in at most 5 of 100 pairs of runs of the
            same thing is a single "better" or "worse" false. NaN for counted figures and below six replicates
        worse_by: the share of `before` that was lost, 0.05 for 5%; negative: gained; NaN where neither way is better
        difference: "better" or "worse" ("higher", "lower" where neither way is better), "~" (none seen), "" (too few)

    Left out: baselines' times (1.0 in both), rates (they follow from times), tiers where nothing is compared.
    """
    keys = list(dict.fromkeys([*after.experiment.point_keys, *before.experiment.point_keys]))
    pairs = _pairs(before, after, keys)
    sampled = sum(1 for pair in pairs if pair.metric.kind != "counted" and pair.enough)
    level = 1 - (1 - LEVEL) / max(sampled, 1)
    rows = [
        {"variant": pair.variant, **dict(zip(keys, pair.point, strict=True)), **_row(pair, level)}
        for pair in pairs
    ]
    return pd.DataFrame(rows, columns=["variant", *keys, *COLUMNS])


@dataclass(frozen=True)
class _Pair:
    """The replicates of one figure in both runs."""

    variant: str
    point: PointValues
    name: str
    metric: Metric
    compared: str
    before: list[float]
    after: list[float]

    @property
    def enough(self) -> bool:
        return min(len(self.before), len(self.after)) >= FEWEST


def _pairs(before: Tables, after: Tables, keys: list[str]) -> list[_Pair]:
    first, second = (
        {(variant, _complete(one.experiment, point, keys), metric): figure for (variant, point, metric), figure in
         read(one.experiment, one.values, one.status).figures.items()}
        for one in (before, after)
    )  # fmt: skip
    order = list(after.experiment.variants)
    found = []
    for variant, point, name in second:
        metric = after.experiment.metrics.get(name)
        if metric is None or (variant, point, name) not in first or variant not in order:
            continue
        compared = _compared(name, metric)
        sides = [
            _replicates(one.experiment, figures, variant, point, name, compared)
            for one, figures in ((before, first), (after, second))
        ]
        if compared and sides[0] and sides[1]:
            found.append(_Pair(variant, point, name, metric, compared, sides[0], sides[1]))
    names, places = list(after.experiment.metrics), _places(after.experiment, keys)
    return sorted(
        found,
        key=lambda pair: (
            names.index(pair.name),
            [place.get(value, -1) for place, value in zip(places, pair.point, strict=True)],
            order.index(pair.variant),
        ),
    )


def _places(experiment: Experiment, keys: list[str]) -> list[dict[Scalar | None, int]]:
    """Of each key the place of its values in the file."""
    return [{value: at for at, value in enumerate(experiment.axes.get(key, []))} for key in keys]


def _complete(experiment: Experiment, point: PointValues, keys: list[str]) -> PointValues:
    """A point with the keys of both runs; one that is no axis here has the value of `params`."""
    here: dict[str, Scalar | None] = dict(zip(experiment.point_keys, point, strict=True))
    return tuple(here.get(key, experiment.params.get(key)) for key in keys)


def _compared(name: str, metric: Metric) -> str:
    if metric.kind != "timed":
        return "value"
    if name in RATES:
        return ""
    return "speed" if metric.better == "lower" else "ratio"


def _replicates(
    experiment: Experiment,
    figures: dict[tuple[str, PointValues, str], Replicates],
    variant: str,
    point: PointValues,
    name: str,
    compared: str,
) -> list[float]:
    """The figure's replicates, times divided by the baseline's; none where they cannot be compared."""
    own = figures[variant, point, name]
    if compared == "value":
        return list(own.values()) if all(map(math.isfinite, own.values())) else []
    baseline = experiment.baseline_of(variant)
    other = figures.get((baseline or "", point, name))
    if baseline == variant or not other or not own.keys() & other.keys():
        return []
    over, of = paired(own, other) if compared == "ratio" else paired(other, own)
    return [a / b for a, b in zip(over, of, strict=True)] if min(*over, *of) > 0 else []


def _row(pair: _Pair, level: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "metric": pair.name,
        "kind": pair.metric.kind,
        "unit": pair.metric.unit,
        "compared": pair.compared,
    }
    means = []
    for side, x in (("before", pair.before), ("after", pair.after)):
        shown = _shown(x, pair)
        means.append(shown.estimate)
        low, high = _ends(shown)
        found |= {side: shown.estimate, f"{side}_low": low, f"{side}_high": high, f"n_{side}": len(x)}
    change = _change(pair, level)
    low, high = _ends(change)
    worse_by = _worse_by(pair, means, change)
    return found | {
        "change": change.estimate, "change_low": low, "change_high": high,
        "worse_by": worse_by, "difference": _word(pair, change, worse_by),
    }  # fmt: skip


def _shown(x: list[float], pair: _Pair) -> Interval:
    if pair.compared != "value":
        return log_mean_interval(x)
    return value_of(dict(enumerate(x)), pair.metric.model_copy(update={"out_of": None}))


def _change(pair: _Pair, level: float) -> Interval:
    if pair.metric.kind == "counted":
        return Interval(pair.after[0] - pair.before[0], None, None, 1)
    if pair.compared == "value":
        return unpaired_interval(pair.before, pair.after, level)
    logs = unpaired_interval(np.log(pair.before), np.log(pair.after), level)
    low, high = (None if end is None else math.exp(min(end, 700)) for end in (logs.low, logs.high))
    return Interval(math.exp(logs.estimate), low, high, logs.n, level, logs.spread, "log")


def _ends(found: Interval) -> tuple[float, float]:
    low, high = found.printed
    return (math.nan if low is None else low, math.nan if high is None else high)


def _worse_by(pair: _Pair, means: list[float], change: Interval) -> float:
    if pair.compared == "speed":
        return 1 - change.estimate
    if pair.metric.better is None:
        return math.nan
    if pair.compared == "ratio":
        return 1 - change.estimate
    lost = means[1] - means[0] if pair.metric.better == "lower" else means[0] - means[1]
    if lost == 0:
        return 0.0
    return lost / abs(means[0]) if means[0] else math.copysign(math.inf, lost)


def _word(pair: _Pair, change: Interval, worse_by: float) -> str:
    null = 0.0 if pair.compared == "value" else 1.0
    if pair.metric.kind == "counted":
        if math.isclose(pair.before[0], pair.after[0], rel_tol=1e-9):
            return "~"
    elif not pair.enough:
        return ""
    elif not change.excludes(null):
        return "~"
    if math.isnan(worse_by):
        return "higher" if change.estimate > null else "lower"
    return "worse" if worse_by > 0 else "better"


def worse(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """The rows that got worse by more than this share of what they were (0.05: 5%), and are seen to be worse."""
    return table[(table["difference"] == "worse") & (table["worse_by"] > share)]
