"""From the tables of a run to the lines of one plot, and what it leaves out and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..analysis.statistics import FEWEST
from ..analysis.tables import ends
from ..experiment.schema import OVER_BASELINE, Experiment, Plot, Scalar
from .table import is_speed
from .words import human, named, value_words

if TYPE_CHECKING:
    import pandas as pd

HUGE = 1e150  # matplotlib squares what it draws
BEYOND = "infinite, or too large to draw"
FINE = 200  # places at which the lowest of several bounds is drawn
REACH = 8  # so many times further left than the first place
SEEN = 1.6  # of the highest roof so many times its foot, where it would begin above what bounds it


@dataclass(frozen=True)
class Series:
    """One line, or one row of dots. An interval that does not exist is NaN at both ends, as is that of a preview.

    Attributes:
        name: what tells it from the others: a variant, or a value of the plot's `hue`.
        label: the same for a reader, with the kernel that ran.
        paid: of a curve over a metric, how much of it stood there at step 0 already.
    """

    name: str
    x: list[Any]
    y: list[float]
    low: list[float]
    high: list[float]
    label: str
    paid: float = 0.0


@dataclass(frozen=True)
class Picture:
    """Everything a plot shows.

    Attributes:
        replicates: the fewest and the most processes (or seeds) behind a point; (0, 0) when there is no point.
        fixed: what other axes are held at, because a plot has only one; those of `where` among them.
        left_out: variant → why it is not drawn.
        steps: of curves, how many were recorded at most; no more than MOST_STEPS are drawn.
    """

    series: list[Series]
    replicates: tuple[int, int] = (0, 0)
    fixed: dict[str, Scalar] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    steps: int = 0

    @property
    def x(self) -> list[Any]:
        """All places on the x axis, in the order they are drawn."""
        places = dict.fromkeys(place for series in self.series for place in series.x)
        return sorted(places) if is_numeric(list(places)) else list(places)

    @property
    def y(self) -> list[float]:
        return [value for series in self.series for value in series.y]

    @property
    def has_intervals(self) -> bool:
        return any(not math.isnan(low) for series in self.series for low in series.low)


def is_ratio(plot: Plot) -> bool:
    return plot.y.endswith(OVER_BASELINE)


def shows_speed(plot: Plot, experiment: Experiment) -> bool:
    """Whether a plot of ratios has "so many times as fast", as the tables have."""
    metric = plot.metric
    return is_ratio(plot) and metric in experiment.metrics and is_speed(metric, experiment.metrics[metric])


def is_numeric(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def points(plot: Plot, experiment: Experiment, comparison: pd.DataFrame) -> Picture:
    """The estimates of the run with their intervals."""
    rows, fixed = rows_of(plot, experiment, comparison)
    if rows.empty:
        return Picture([], fixed=fixed)
    names = ("ratio", "ratio_low", "ratio_high") if is_ratio(plot) else ("estimate", "low", "high")
    rows = rows.rename(columns=dict(zip(names, ("y", "y_low", "y_high"), strict=True)))
    if shows_speed(plot, experiment):
        y, low, high = (rows[end].where(rows[end] != 0) for end in ("y", "y_low", "y_high"))
        rows = rows.assign(y=1 / y, y_low=1 / high, y_high=1 / low)
    rows[["y_low", "y_high"]] = rows[["y_low", "y_high"]].where(rows["n"] >= FEWEST)
    good = rows[(rows["status"] == "ok") & is_finite(rows["y"])]
    if is_numeric(list(rows[plot.x])):
        good = good[is_finite(good[plot.x])]
    beyond = (rows["status"] == "ok") & rows["y"].notna() & ~rows.index.isin(good.index)
    left_out = _left_out(
        rows.assign(status=rows["status"].mask(beyond, BEYOND)), set(good["variant"]), plot.x
    )
    counts = [int(n) for n in good["n"].dropna()]
    replicates = (min(counts), max(counts)) if counts else (0, 0)
    return Picture(series_of(plot, experiment, good, plot.x), replicates, fixed, left_out)


def limits(plot: Plot, experiment: Experiment, comparison: pd.DataFrame) -> list[Series]:
    """What bounds the values of this plot, a line for each metric of its `limit` that has figures.

    Several are roofs, each of them straight in logarithms: the first where it is lower than the highest of the others,
    these where they are lower than the first. They begin left of what was measured, so that one sees where they bend.
    """
    import numpy as np

    bounds: dict[str, dict[Any, float]] = {}
    for metric in plot.limit:
        alone = points(plot.model_copy(update={"y": metric, "limit": []}), experiment, comparison).series
        at = {place: value for line in alone for place, value in zip(line.x, line.y, strict=True)}
        if at:
            bounds[experiment.metrics[metric].label or human(metric)] = at
    if len(bounds) < 2:
        return [_bound(label, {x: at[x] for x in sorted(at)}) for label, at in bounds.items()]
    if any(len(at) < 2 for at in bounds.values()):
        return []  # one place makes no line
    lines = [np.polyfit(np.log(list(at)), np.log(list(at.values())), 1) for at in bounds.values()]
    left, right = min(map(min, bounds.values())) / REACH, max(map(max, bounds.values()))
    first, *others = (np.exp(np.polyval(line, np.log(left))) for line in lines)
    left /= max(
        1.0, SEEN * max(others) / first
    )  # the steepest rises in proportion, so that it is seen below the first
    places = np.geomspace(left, right, FINE)
    first, *others = (np.exp(np.polyval(line, np.log(places))) for line in lines)
    below = [first <= np.max(others, axis=0), *(other <= first for other in others)]
    return [
        _bound(label, dict(zip(places[lower], values[lower], strict=True)))
        for label, values, lower in zip(bounds, (first, *others), below, strict=True)
        if lower.any()
    ]


def _bound(label: str, at: Mapping[Any, float]) -> Series:
    nothing = [math.nan] * len(at)
    return Series("", list(at), list(at.values()), nothing, nothing, label)


def rows_of(
    plot: Plot, experiment: Experiment, table: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Scalar]]:
    """The rows that belong on this plot: one value for every axis that is neither x nor hue."""
    rows = table[table["metric"] == plot.metric]
    runs = set()  # the axis that runs along a line without being x
    if plot.x in experiment.metrics and plot.x not in rows.columns:
        if plot.is_curve:
            rows = _beside(
                rows, table, plot.x, ["variant", *experiment.point_keys, "replicate", "step"], "value"
            )
        else:
            rows = _beside(rows, table, plot.x, ["variant", *experiment.point_keys], "estimate")
            runs = set([axis for axis in experiment.axes if axis not in plot.where and axis != plot.hue][:1])
    if plot.variants:
        rows = rows[rows["variant"].isin(plot.variants)]
    for axis, value in held(plot, experiment).items():
        rows = rows[rows[axis] == value] if axis in rows.columns else rows
    if plot.x in rows.columns:
        rows = rows[rows[plot.x].notna()]
    fixed = held(plot, experiment)
    for axis in experiment.point_keys:
        if axis in (plot.x, plot.hue, *runs) or axis in fixed or axis not in rows.columns or rows.empty:
            continue
        if rows[axis].isna().any():  # rows of the grid that sweeps this axis stand beside rows that do not
            rows = rows[rows[axis].isna()]
        elif rows[axis].nunique() > 1:
            usual: Any = experiment.params.get(axis)
            fixed[axis] = usual if (rows[axis] == usual).any() else rows[axis].iloc[0]
            rows = rows[rows[axis] == fixed[axis]]
    return rows, fixed


def _beside(
    rows: pd.DataFrame, table: pd.DataFrame, metric: str, keys: list[str], column: str
) -> pd.DataFrame:
    """The rows with what stands in this column for another metric and the same keys, as a column of its name."""
    other = table[table["metric"] == metric][[*keys, column]].rename(columns={column: metric})
    return rows.merge(other, on=keys)


def is_finite(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(float).abs() < HUGE  # False for NaN too


def _drawable(end: float) -> float:
    return float(end) if abs(end) < HUGE else math.nan


def held(plot: Plot, experiment: Experiment) -> dict[str, Scalar]:
    """A plot's `where`, with `max` and `min` as the ends of an axis, as they are in claims."""
    return {axis: end(value, experiment.axes.get(axis, [])) for axis, value in plot.where.items()}


def end(value: Scalar, axis: list[Scalar]) -> Scalar:
    if value not in ("max", "min") or value in axis or not axis:
        return value
    return ends(axis)[value == "max"]


def series_of(
    plot: Plot, experiment: Experiment, rows: pd.DataFrame, x: str, along: str = ""
) -> list[Series]:
    """A line for each value of the plot's hue and each variant, in the order of the file.

    Args:
        rows: with the columns `y`, `y_low`, `y_high`; curves also `paid`.
        along: the column that orders a line, where that is not x.
    """
    along = along or x
    keys = [plot.hue]
    if "variant" not in (plot.hue, x) and rows["variant"].nunique() > 1:
        keys.append("variant")
    found = []
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        group = group.drop_duplicates(along)
        if is_numeric(list(group[along])):
            group = group.sort_values(along)
        places = list(group[x])
        name = ", ".join(value_words(part) for part in key)
        y = list(map(float, group["y"]))
        low, high = (list(map(_drawable, group[end])) for end in ("y_low", "y_high"))
        paid = max(group.get("paid", [0.0]))
        found.append(Series(name, places, y, low, high, named(name, group.get("kernel", ())), paid))
    order = list(experiment.variants)
    return sorted(found, key=lambda line: order.index(line.name) if line.name in order else len(order))


def _left_out(rows: pd.DataFrame, drawn: set[str], x: str) -> dict[str, str]:
    """Variant → why it is not drawn; with the places, where it is drawn elsewhere."""
    found = {}
    for variant, group in rows[rows["status"] != "ok"].groupby("variant", sort=False):
        statuses = ", ".join(dict.fromkeys(group["status"]))
        places = ", ".join(value_words(place) for place in group[x])
        found[str(variant)] = f"{statuses} at {places}" if variant in drawn and x != "variant" else statuses
    return found
