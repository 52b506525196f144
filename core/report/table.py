"""The comparison as tables for report and terminal: a row per variant and point, a column per metric, by tier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..analysis import digits
from ..analysis.gaps import worse_than
from ..analysis.statistics import FEWEST
from ..experiment.schema import RATES, ROOF, Experiment, Metric
from ..measure.ceiling import WRONG
from .words import TERMS, human, named, value_words

if TYPE_CHECKING:
    import pandas as pd

WORSE = {"": 0, "ok": 0, WRONG: 0, "missing": 1, "refused": 2, "timeout": 3, "failed": 4, "wrong": 5}
FINE = ("ok", "missing", WRONG)  # such a row has its other figures


@dataclass(frozen=True)
class Column:
    """A heading; `term` explains it. What is `compared` has the baseline's figure taken off or divided by."""

    name: str
    term: str = ""
    is_number: bool = True
    better: str | None = None
    compared: bool = False


@dataclass(frozen=True)
class Cell:
    """`sort` is what the column is ordered by: a number where there is one."""

    text: str
    sort: float | str
    interval: str = ""
    best: bool = False
    same: bool = False


@dataclass(frozen=True)
class Row:
    """`status` other than "ok" takes the place of the figures, with its reason. `variant` is the name as it is shown, with
    its kernel; `name` the bare one. `own`: added by the user."""

    variant: str
    point: list[Cell]
    cells: list[Cell]
    status: str = "ok"
    reason: str = ""
    name: str = ""
    own: bool = False


@dataclass(frozen=True)
class Tier:
    """The rows of one tier, below their name and what they are divided by."""

    name: str
    note: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """One table of the report. The title names the axes that have a single value in it."""

    title: str
    points: list[Column]
    metrics: list[Column]
    tiers: list[Tier]


def tables(experiment: Experiment, comparison: pd.DataFrame) -> list[Table]:
    """What was timed or trained, then what was only checked (a point where nothing but counted numbers was taken)."""
    if comparison.empty:
        return []
    keys = [key for key in experiment.point_keys if key in comparison.columns]
    sampled = comparison["kind"] != "counted"
    points = comparison[keys].apply(lambda row: tuple(map(value_words, row)), axis=1) if keys else None
    full = sampled & comparison["estimate"].notna()
    if points is None or not full.any():
        return [_table("", experiment, comparison, keys)]
    timed = points.isin(set(points[full]))
    found = [_table("", experiment, comparison[timed], keys)]
    if (~timed).any():
        rest = comparison[~timed & ~sampled]
        found.append(_table("Checked, not timed", experiment, rest, keys))
    return [table for table in found if table.tiers]


def _table(title: str, experiment: Experiment, rows: pd.DataFrame, keys: list[str]) -> Table:
    varying = [key for key in keys if rows[key].nunique(dropna=False) > 1]
    there = set(rows["metric"][rows["estimate"].notna() | (rows["status"] == WRONG)]) or set(rows["metric"])
    # Roofs are drawn beside what they bound; as columns they repeat the intensity.
    metrics = {
        name: metric
        for name, metric in experiment.metrics.items()
        if name in there and not name.startswith(ROOF)
    }
    zeros = {name: worse_than(experiment, metric.gap) for name, metric in metrics.items() if metric.gap}
    expected = {str(name) for name in rows["metric"][_predictions(rows).notna()]}
    tiers = []
    for tier, members in experiment.tiers.items():
        ranked = sum(name in set(rows["variant"]) for name in members) > 1
        name, note = _heading(tier, members[0], ranked)
        for group, grouped in experiment.groups(members).items():
            found = [
                row
                for who in grouped
                for row in _rows(who, metrics, rows[rows["variant"] == who], varying, zeros, expected)
            ]
            if found:
                tiers.append(Tier(f"{tier}, {group}".removeprefix(", ") if group else name, note, found))
                note = ""  # said once
    constant = {key: rows[key].iloc[0] for key in keys if key not in varying}
    title = ", ".join(
        [title] * bool(title) + [f"{human(key)} = {value_words(x)}" for key, x in constant.items()]
    )
    points = [Column(human(key), is_number=all(map(_is_number, rows[key]))) for key in varying]
    leaders = {str(who) for who in rows["baseline"].unique() if who}
    beside = leaders.pop() if len(leaders) == 1 else ""
    columns = [
        column for name in metrics for column in _columns(name, metrics[name], beside, name in expected)
    ]
    return Table(title, points, columns, tiers)


def _predictions(rows: pd.DataFrame) -> pd.Series[float]:
    """What was predicted; a table of an earlier version has no such column."""
    return rows["predicted"] if "predicted" in rows.columns else rows["estimate"] * math.nan


def _heading(tier: str, leader: str, ranked: bool) -> tuple[str, str]:
    if tier == "reference":
        return "reference", "to read, not compared by time"
    return tier or "all variants", f"compared with {leader}" if ranked else ""


def _columns(name: str, metric: Metric, beside: str, expected: bool) -> list[Column]:
    """The columns of a metric; `beside` is the variant that the others' figures are compared with, empty where there are
    several; `expected`: whether the file predicts it for any variant here."""
    better = f"; {metric.better} is better" if metric.better else ""
    means = f"{metric.says}; " if metric.says else ""
    columns = [
        Column(metric.label or human(name), f"{means}{TERMS[metric.kind]}{better}", better=metric.better)
    ]
    if expected:
        columns.append(
            Column("predicted", f"{metric.label or human(name)} as the experiment file predicts it")
        )
    if is_speed(name, metric):
        columns.append(Column("speed", TERMS["speed"], compared=True))
    elif _is_compared(metric):
        said = f"{human(name)}: this variant's figure minus that of {beside or 'the first of its tier'}"
        columns.append(Column(f"vs {beside}" if beside else "difference", said, compared=True))
    return columns


def _is_compared(metric: Metric) -> bool:
    """Whether the baseline's figure is taken off beside a metric; a gap begins at the baseline's already."""
    return metric.kind == "trained" and metric.gap is None


def is_speed(name: str, metric: Metric) -> bool:
    """Whether a metric is shown beside the tier's first as "so many times as fast"."""
    return metric.kind == "timed" and metric.better == "lower" and name not in RATES


def _rows(
    variant: str,
    metrics: dict[str, Metric],
    rows: pd.DataFrame,
    keys: list[str],
    zeros: dict[str, str],
    expected: set[str],
) -> list[Row]:
    """One row per point; a variant that came to the same bad end everywhere gets a single one. `zeros`: what a gap below
    nothing reads, by metric; `expected`: the metrics that are predicted."""
    if rows.empty:
        return []
    ends = set(zip(rows["status"], rows["reason"].fillna(""), strict=True)) - {("missing", "")}
    bad = [end for end in ends if end[0] not in FINE]
    if len(bad) == 1 and not (rows["status"] == "ok").any():
        return [Row(variant, [Cell("all", "") for _ in keys], [], *bad[0], name=variant)]
    found = []
    for _, here in rows.groupby(keys, sort=False, dropna=False) if keys else [((), rows)]:
        by_metric: dict[str, dict[Any, Any]] = {str(row["metric"]): row for row in here.to_dict("records")}
        first = next(iter(by_metric.values()))
        point = [Cell(value_words(first[key]), _sort(first[key])) for key in keys]
        worst = max(by_metric.values(), key=lambda row: WORSE.get(str(row["status"]), 1))
        if worst["status"] not in FINE:
            found.append(Row(variant, point, [], str(worst["status"]), str(worst["reason"] or ""), variant))
            continue
        if all(row["status"] == "missing" for row in by_metric.values()):
            continue  # why it has no figures at all stands where it was timed
        cells = [
            cell
            for name in metrics
            for cell in _cells(name, metrics[name], by_metric.get(name), zeros, name in expected)
        ]
        found.append(Row(named(variant, here.get("kernel", ())), point, cells, name=variant))
    return _joined(found)


def _joined(rows: list[Row]) -> list[Row]:
    """Points that came to the same bad end in one row: `4,000; 32,000; 256,000`."""
    joined: list[Row] = []
    for row in rows:
        last = joined[-1] if joined else None
        if (
            last
            and not row.cells
            and not last.cells
            and (last.status, last.reason) == (row.status, row.reason)
        ):
            both = zip(last.point, row.point, strict=True)
            point = [
                a if b.text in a.text.split("; ") else replace(a, text=f"{a.text}; {b.text}") for a, b in both
            ]
            joined[-1] = replace(last, point=point)
        else:
            joined.append(row)
    return joined


def _cells(
    name: str, metric: Metric, row: dict[Any, Any] | None, zeros: dict[str, str], expected: bool
) -> list[Cell]:
    if row is not None and row["status"] == WRONG:
        return [Cell(WRONG, math.nan)]
    if row is None or not _is_number(row["estimate"]) or math.isnan(row["estimate"]):
        return [Cell("", math.nan)] * len(_columns(name, metric, "", expected))
    first, *others = _of_figure(name, metric, row, zeros)
    if expected:
        others.insert(0, _figure([row["predicted"], math.nan, math.nan], metric.unit, "value"))
    return [first, *others]


def _of_figure(name: str, metric: Metric, row: dict[Any, Any], zeros: dict[str, str]) -> list[Cell]:
    """The cell of a figure, and of how it compares."""
    if metric.gap and (row["estimate"] if math.isnan(row["high"]) else row["high"]) < 0:
        return [Cell(zeros[name], row["estimate"])]
    figure = _figure([row["estimate"], *_ends(row, "low", "high")], metric.unit, "value", bool(row["best"]))
    if is_speed(name, metric):
        # Times as fast: the baseline's time over this one's, so that more is better, as people say it.
        times = [
            1 / x if x else math.nan for x in (row["ratio"], *reversed(_ends(row, "ratio_low", "ratio_high")))
        ]
        return [figure, _figure(times, "", "ratio", same=row["difference"] == "~")]
    if _is_compared(metric):
        change = [row.get("change", math.nan), *_ends(row, "change_low", "change_high")]
        unit = metric.unit if digits.is_scaled(metric.unit) else ""  # else it stands beside the figure itself
        return [figure, _figure(change, unit, "difference", same=row["difference"] == "~")]
    return [figure]


def _ends(row: dict[Any, Any], low: str, high: str) -> tuple[float, float]:
    """An interval's ends; none for a preview, whose interval would only say how little two or three numbers say."""
    return (row[low], row[high]) if row["n"] >= FEWEST else (math.nan, math.nan)


def _figure(numbers: Sequence[float], unit: str, kind: str, best: bool = False, same: bool = False) -> Cell:
    estimate, low, high = map(float, numbers)
    if math.isnan(estimate):
        return Cell("", math.nan)
    text = digits.format(estimate, low, high, unit, kind=kind, with_interval=False)
    interval = digits.format(estimate, low, high, unit, kind=kind).removeprefix(text).strip()
    return Cell(text, estimate, interval, best, same)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sort(value: Any) -> float | str:
    return float(value) if _is_number(value) else str(value)
