"""Indexes the tables of a run: a figure by variant, point and metric.

The tables come from the trial files (core/run) in long form:

* values: `variant`, a column for each key of a point, `metric`, `replicate`, `value` (in the metric's unit)
* status: `variant`, the same point columns, `status` (ok, wrong, refused, failed, timeout), `reason`
* curves: like values, and `step`

The order of their rows means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from ..experiment.schema import Experiment, Metric, Scalar, point_words

PointValues = tuple[
    Scalar | None, ...
]  # a point as the values of the point keys, in their order; None: not set
Replicates = Mapping[int, float]  # by repeat or seed

STATUSES = ("ok", "refused", "timeout", "failed", "wrong")  # from mild to grave


class NotTested(ValueError):
    """This run has no such figure; the message says why."""


@dataclass(frozen=True)
class Readings:
    """The tables of one run, indexed.

    Attributes:
        keys: the point keys.
        figures: replicates by (variant, point, metric).
        statuses: (status, reason) by (variant, point).
    """

    keys: tuple[str, ...]
    figures: Mapping[tuple[str, PointValues, str], Replicates]
    statuses: Mapping[tuple[str, PointValues], tuple[str, str]]

    @cached_property
    def points(self) -> frozenset[PointValues]:
        return frozenset(point for _, point, _ in self.figures) | {point for _, point in self.statuses}

    @cached_property
    def variants(self) -> frozenset[str]:
        return frozenset(variant for variant, _, _ in self.figures) | {
            variant for variant, _ in self.statuses
        }

    @cached_property
    def measured(self) -> Mapping[PointValues, set[str]]:
        """The metrics that any variant has at each point."""
        metrics: dict[PointValues, set[str]] = {}
        for _, point, metric in self.figures:
            metrics.setdefault(point, set()).add(metric)
        return metrics

    @cached_property
    def occurring(self) -> Mapping[str, frozenset[Scalar | None]]:
        """The values of each point key that occur in this run."""
        return {key: frozenset(point[i] for point in self.points) for i, key in enumerate(self.keys)}

    def get(self, variant: str, point: PointValues, metric: str) -> Replicates:
        """The replicates of a figure. Raises NotTested: it is not there; the message says why."""
        status, reason = self.statuses.get((variant, point), ("ok", ""))
        if status != "ok":
            raise NotTested(status_sentence(variant, status, self.words(point), reason))
        found = self.figures.get((variant, point, metric))
        if found is not None:
            return found
        if variant not in self.variants:
            raise NotTested(f"{variant} is not in this run")
        for key, value in zip(self.keys, point, strict=True):
            if value not in self.occurring[key]:
                raise NotTested(f"{key}={value} is not in this run")
        at = self.words(point)
        raise NotTested(f"{metric} of {variant} was not measured{f' at {at}' if at else ''}")

    def with_prompts(self, metric: Metric, point: PointValues, variants: Iterable[str]) -> Metric:
        """The metric with a number for its `out_of`: the fewest distinct prompts that any replicate of these variants
        answered; 1 where no replicate counted them."""
        if not isinstance(metric.out_of, str):
            return metric
        counts = [
            count
            for variant in variants
            for count in self.figures.get((variant, point, metric.out_of), {}).values()
        ]
        fewest = min((int(count) for count in counts if math.isfinite(count)), default=1)
        return metric.model_copy(update={"out_of": max(fewest, 1)})

    def words(self, point: PointValues) -> str:
        """`columns=1000, rows=64`."""
        return point_words(dict(zip(self.keys, point, strict=True)))


def status_sentence(variant: str, status: str, at: str, reason: str = "") -> str:
    """The status of a variant as a sentence: `online is wrong at columns=1000: first row is 2 off`."""
    verbs = {"wrong": "is wrong", "refused": "refused", "failed": "failed", "timeout": "ran out of time"}
    where = f" at {at}" if at else ""
    return f"{variant} {verbs.get(status, status)}{where}{f': {reason}' if reason else ''}"


def _plain(value: Any) -> Any:
    """A cell as Python has it: no numpy scalars, and None for what is not set."""
    value = value.item() if hasattr(value, "item") else value
    unset = value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
    return None if unset else value


def _rows(table: pd.DataFrame | None, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    if table is None or table.empty:
        return iter(())
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}")
    return zip(*(table[column].tolist() for column in columns), strict=True)


def read(experiment: Experiment, values: pd.DataFrame, status: pd.DataFrame | None = None) -> Readings:
    """Index the tables of a run.

    Raises ValueError: a column is missing, or one replicate of a figure stands there twice.
    """
    keys = experiment.point_keys
    figures: dict[tuple[str, PointValues, str], dict[int, float]] = {}
    for variant, metric, replicate, value, *cells in _rows(
        values, ["variant", "metric", "replicate", "value", *keys]
    ):
        point = tuple(_plain(cell) for cell in cells)
        figure = figures.setdefault((variant, point, metric), {})
        if int(replicate) in figure:
            at = point_words(dict(zip(keys, point, strict=True)))
            raise ValueError(f"two values for {metric} of {variant}, replicate {replicate}, at {at}")
        figure[int(replicate)] = float(value)
    statuses: dict[tuple[str, PointValues], tuple[str, str]] = {}
    for variant, state, reason, *cells in _rows(status, ["variant", "status", "reason", *keys]):
        where = (variant, tuple(_plain(cell) for cell in cells))
        found = (str(state), str(_plain(reason) or ""))
        # A variant may have a status for each seed: the gravest counts.
        statuses[where] = max(statuses.get(where, found), found, key=_gravity)
    return Readings(tuple(keys), figures, statuses)


def _gravity(found: tuple[str, str]) -> tuple[int, str]:
    status, reason = found
    return (STATUSES.index(status) if status in STATUSES else len(STATUSES), reason)


def ends(values: list[Scalar]) -> tuple[Scalar, Scalar]:
    """Smallest and largest of an axis; first and last where its values are words."""
    if all(isinstance(value, int | float) for value in values):
        return min(values, key=float), max(values, key=float)
    return values[0], values[-1]


def point_of(
    experiment: Experiment,
    readings: Readings,
    where: Mapping[str, Scalar],
    *,
    along: str | None = None,
    otherwise: Literal["refuse", "max"] = "refuse",
) -> PointValues:
    """The point that `where` means in this run.

    Args:
        where: a value for each key; `max` and `min` are the ends of an axis in this run. A left-out axis of
            one value takes it; a key that only `checks` sweeps takes the value of `params`, and so does an axis that was
            added to the file's, as by --threads 1,2.
        along: an axis that stays open; it stands as None.
        otherwise: what a left-out axis of several values does.
    Raises NotTested: a value or key is not in this run, or a left-out axis has several values.
    """
    unknown = [key for key in where if key not in readings.keys]
    if unknown:
        raise NotTested(f"{unknown[0]} is not an axis of this run")
    point: list[Scalar | None] = []
    for key in readings.keys:
        swept = experiment.values_of(key)
        if key == along:
            point.append(None)
            continue
        value: Scalar | None = where.get(key)
        if value is None:
            value = _left_out(experiment, readings, key, swept, otherwise)
        elif value in ("min", "max") and value not in swept:
            value = ends(swept)[value == "max"]
        if value not in readings.occurring[key]:
            raise NotTested(f"{key}={value} is not in this run")
        point.append(value)
    return tuple(point)


def _left_out(
    experiment: Experiment, readings: Readings, key: str, swept: list[Scalar], otherwise: str
) -> Scalar | None:
    usual: Scalar | None = experiment.params.get(key)
    if key not in experiment.axes and usual in list(readings.occurring[key]):
        return usual
    if len(swept) == 1:
        return swept[0]
    if otherwise == "refuse" and usual in swept:
        return usual
    if otherwise == "max":
        return ends(swept)[1]
    raise NotTested(f"`where` leaves out {key}, which has {len(swept)} values in this run")


def in_order(experiment: Experiment, readings: Readings) -> list[PointValues]:
    """The points as the file lists them: axes first, then what only `checks` has."""

    def rank(point: PointValues) -> list[tuple[int, str]]:
        ranks = []
        for key, value in zip(readings.keys, point, strict=True):
            listed = [*experiment.axes.get(key, []), *experiment.checked.get(key, [])]
            ranks.append((listed.index(value), "") if value in listed else (-1, str(value)))
        return ranks

    return sorted(readings.points, key=rank)
