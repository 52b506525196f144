"""Compares every variant at every point with the baseline of its tier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.checks import COMPARISON
from ..experiment.formula import FormulaError
from ..experiment.predictions import predicted, prediction_of
from ..experiment.schema import Experiment, Metric
from .estimates import difference_of, ratio_of, value_of
from .statistics import FEWEST, Interval
from .tables import PointValues, Readings, Replicates, in_order, read


def compare(experiment: Experiment, values: pd.DataFrame, status: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per variant × point × metric, in the order of the file.

    Columns: `variant`, the point keys, then
        metric, tier, baseline (the variant it is divided by; "" in the tier `reference`), kind, unit
        estimate: median of timed replicates, mean of trained ones, the counted number; NaN: there is none
        low, high: its 95% interval; NaN for counted numbers and single replicates
        n: replicates; spread: interquartile range divided by the median
        ratio, ratio_low, ratio_high: this figure divided by the baseline's ("times as much"), paired by
            replicate
        change, change_low, change_high: this figure minus the baseline's, in the metric's unit; the
            baseline's own ratio is 1 and its change 0, without intervals
        difference: "lower", "higher", "~" (none seen), "" (the baseline itself, or not comparable)
        best: leads its tier at this point, and is seen to beat every other there
        predicted: what the file predicts it to be; NaN where it predicts nothing
        status, reason: as in `status`; "missing" where a figure should be and is not
        kernel: as in `status`: what somebody else's code chose to run here; "" where nothing was chosen

    A metric that nobody has at a point (a timed one where only correctness was checked) has rows only for
    those variants that are not ok there.

    Raises ValueError: an axis is called like a column of this table.
    """
    keys = experiment.point_keys
    clash = [key for key in keys if key in ("variant", *COMPARISON)]
    if clash:
        raise ValueError(f"an axis cannot be called {clash[0]}: the comparison has a column of that name")
    readings, tiers = read(experiment, values, status), experiment.tiers
    rows: list[dict[str, Any]] = []
    for point in in_order(experiment, readings):
        present = readings.measured.get(point, set())
        for name, metric in experiment.metrics.items():
            for tier, members in tiers.items():
                rows += _tier_rows(experiment, readings, point, name, metric, tier, members, name in present)
    kernels = _kernels(status, keys)
    for row in rows:
        row["kernel"] = kernels.get((row["variant"], *(row[key] for key in keys)), "")
    table = pd.DataFrame(rows, columns=None if rows else ["variant", *keys, *COMPARISON])
    return table.astype({"n": int, "best": bool})


def _kernels(status: pd.DataFrame | None, keys: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """By variant and point."""
    if status is None or "kernel" not in status.columns:
        return {}
    return {tuple(row[key] for key in ("variant", *keys)): row["kernel"] for row in status.to_dict("records")}


def _tier_rows(
    experiment: Experiment,
    readings: Readings,
    point: PointValues,
    name: str,
    metric: Metric,
    tier: str,
    members: list[str],
    present: bool,
) -> list[dict[str, Any]]:
    """The rows of one tier at one point for one metric."""
    metric = readings.with_prompts(metric, point, members)
    figures = {variant: readings.figures.get((variant, point, name), {}) for variant in members}
    found = {variant: _value(figure, metric) for variant, figure in figures.items()}
    baseline = members[0] if tier != "reference" else ""
    leader = _leader([interval for interval, _ in found.values()], metric) if baseline else None
    rows = []
    for variant in members:
        figure = figures[variant]
        state, reason = readings.statuses.get((variant, point), ("", ""))
        if not figure and state in ("", "ok"):
            if not present or variant not in readings.variants:
                continue
            state, reason = "missing", f"no {name} in this run"
        other = figures[baseline] if baseline else {}
        value, spread = found[variant]
        ratio, change, word = _against(figure, other, metric) if variant != baseline else _itself(figure)
        rows.append(
            {"variant": variant, **dict(zip(readings.keys, point, strict=True)), "metric": name}
            | {"tier": tier, "baseline": baseline, "kind": metric.kind, "unit": metric.unit}
            | _columns("estimate", value) | {"n": len(figure), "spread": spread}
            | _columns("ratio", ratio) | _columns("change", change)
            | {"difference": word, "best": _is_best(variant, value, leader, figures, metric)}
            | {"predicted": _predicted(experiment, name, variant, readings, point)}
            | {"status": state or "ok", "reason": reason}
        )  # fmt: skip
    return rows


def _predicted(
    experiment: Experiment, metric: str, variant: str, readings: Readings, point: PointValues
) -> float:
    prediction = prediction_of(experiment, metric, variant)
    if prediction is None:
        return math.nan
    try:
        return predicted(prediction, experiment, variant, dict(zip(readings.keys, point, strict=True)))
    except FormulaError:  # a point of another run, or of `checks`
        return math.nan


def _columns(name: str, found: Interval | None) -> dict[str, float]:
    """An interval as three columns; `estimate` has its ends under `low` and `high`."""
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    if found is None:
        return {name: math.nan, low: math.nan, high: math.nan}
    ends = (math.nan if end is None else end for end in (found.low, found.high))
    return {name: found.estimate, low: next(ends), high: next(ends)}


def _value(figure: Replicates, metric: Metric) -> tuple[Interval | None, float]:
    if not figure:
        return None, math.nan
    x = np.array(list(figure.values()))
    try:
        found = value_of(figure, metric)
    except ValueError:  # an infinite error is worth showing, without an interval
        return Interval(float(np.median(x)), None, None, len(x)), math.nan
    if metric.kind == "counted" or len(x) < 2:
        return found, math.nan
    first, middle, third = np.quantile(x, [0.25, 0.5, 0.75])
    return found, float((third - first) / abs(middle)) if middle else math.nan


def _itself(figure: Replicates) -> tuple[Interval | None, Interval | None, str]:
    """The baseline beside itself: ratio 1, change 0, no intervals (`control` has its noise)."""
    return (
        (Interval(1.0, None, None, len(figure)), Interval(0.0, None, None, len(figure)), "")
        if figure
        else (None, None, "")
    )


def _against(
    figure: Replicates, other: Replicates, metric: Metric
) -> tuple[Interval | None, Interval | None, str]:
    """Ratio, difference and the word for them; None where there is none, such as a ratio to zero."""
    if not figure or not other:
        return None, None, ""
    try:
        change = difference_of(figure, other, metric)
    except ValueError:
        return None, None, ""
    try:
        ratio = ratio_of(figure, other, metric)
    except ValueError:
        ratio = None
    return ratio, change, _word(ratio, change, metric)


def _word(ratio: Interval | None, change: Interval, metric: Metric) -> str:
    if metric.kind == "counted":
        # Sums in another order leave the last bits different: that is no difference.
        same = ratio is not None and math.isclose(ratio.estimate, 1, rel_tol=1e-9) or change.estimate == 0
        return "~" if same else "lower" if change.estimate < 0 else "higher"
    if change.n < FEWEST and change.scale != "prompts":
        return ""  # two or three replicates are a preview: neither a difference nor none has been seen
    by_ratio = metric.kind == "timed" and ratio is not None
    interval, null = (ratio, 1.0) if by_ratio and ratio is not None else (change, 0.0)
    if not interval.excludes(null):
        return "~"
    return "lower" if interval.estimate < null else "higher"


def _leader(found: Sequence[Interval | None], metric: Metric) -> float | None:
    """The best estimate of a tier."""
    finite = [value.estimate for value in found if value is not None and math.isfinite(value.estimate)]
    if metric.better is None or not finite:
        return None
    return min(finite) if metric.better == "lower" else max(finite)


def _is_best(
    variant: str,
    mine: Interval | None,
    leader: float | None,
    figures: dict[str, Replicates],
    metric: Metric,
) -> bool:
    """Whether a variant leads and beats every rival that has a figure; counted numbers may share the lead."""
    if leader is None or mine is None or mine.estimate != leader:
        return False
    rivals = [figure for other, figure in figures.items() if other != variant and figure]
    if metric.kind == "counted":
        others = (rival for rival in rivals if rival[min(rival)] != leader)
        return any(_against(figures[variant], rival, metric)[2] == metric.better for rival in others)
    # That the leader is chosen after looking costs nothing beyond the two sides of one 95% interval: the worst case is
    # two that lead together, and every further rival must be beaten as well (Gutmann & Maymin 1987).
    return bool(rivals) and all(
        _against(figures[variant], rival, metric)[2] == metric.better for rival in rivals
    )
