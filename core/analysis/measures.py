"""Takes the measure of a claim from the tables of a run: one interval, or for an order one for each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from ..experiment.formula import FormulaError
from ..experiment.predictions import predicted
from ..experiment.schema import Experiment, Measure, Scalar
from .estimates import counted, difference_of, ratio_of, value_of
from .statistics import LEVEL, Floats, Interval, exponent_interval, trend_interval
from .tables import NotTested, PointValues, Readings, Replicates, point_of


@dataclass(frozen=True)
class Measured:
    """A measure as this run saw it.

    Attributes:
        steps: one interval; for `order` one for each adjacent pair, the later variant minus the earlier.
        figures: for `order` the figure of each variant, as listed; else empty.
        replicates: how many replicates (pairs) stand behind the least supported step.
        point: the point, without the axis that an exponent or a trend runs along.
        sampled: whether it has noise; False for counted numbers.
    """

    steps: tuple[Interval, ...]
    figures: tuple[Interval, ...]
    replicates: int
    point: dict[str, Scalar]
    sampled: bool


def measured(
    measure: Measure,
    experiment: Experiment,
    readings: Readings,
    curves: pd.DataFrame | None = None,
    level: float = LEVEL,
) -> Measured:
    """The measure of a claim in a run, with intervals of this level.

    Raises NotTested: something it needs is not there, or no such number can be formed; the message says what.
    """
    if measure.metric not in experiment.metrics:
        raise NotTested(f"{measure.metric} is not measured in this run")
    for variant in measure.variants:
        if variant not in readings.variants:
            raise NotTested(f"{variant} is not in this run")
    if measure.kind == "trend" and measure.axis == "step":
        return _over_steps(measure, experiment, readings, curves, level)
    if measure.axis is not None:
        return _along_axis(measure, measure.axis, experiment, readings, level)
    return _at_point(measure, experiment, readings, level)


def _at_point(measure: Measure, experiment: Experiment, readings: Readings, level: float) -> Measured:
    point = point_of(experiment, readings, measure.where)
    metric = readings.with_prompts(experiment.metrics[measure.metric], point, measure.variants)
    found = [whole(readings.get(variant, point, measure.metric), measure.metric, variant)
             for variant in measure.variants]  # fmt: skip
    steps: tuple[Interval, ...]
    figures: tuple[Interval, ...] = ()
    try:
        if measure.kind == "value":
            steps = (value_of(found[0], metric, level),)
        elif measure.kind == "ratio":
            steps = (ratio_of(found[0], found[1], metric, level),)
        elif measure.kind == "difference":
            steps = (difference_of(found[0], found[1], metric, level),)
        elif measure.kind == "deviation":
            # A difference has no logarithm: times are averaged as they are.
            plain = metric.model_copy(update={"kind": "trained"}) if metric.kind == "timed" else metric
            known = _predicted(measure, experiment, readings, point)
            steps = (value_of(found[0], plain, level).minus(known),)
        else:
            figures = tuple(value_of(figure, metric, level) for figure in found)
            # One step the wrong way refutes an order, so the steps share what the verdict may err (Bonferroni); two
            # may have half of it each as they are, since a step errs on one side only.
            share = 1 - (1 - level) * 2 / max(2, len(found) - 1)
            steps = tuple(difference_of(b, a, metric, share) for a, b in pairwise(found))
    except ValueError as error:
        raise NotTested(f"{measure.metric} of {' and '.join(measure.variants)}: {error}") from error
    groups = pairwise(found) if len(found) > 1 else [(found[0], found[0])]
    replicates = min(len(a.keys() & b.keys()) for a, b in groups)
    return Measured(steps, figures, replicates, _as_point(readings, point), metric.kind != "counted")


def _predicted(measure: Measure, experiment: Experiment, readings: Readings, point: PointValues) -> float:
    """What the measure's prediction says at a point."""
    prediction = next((each for each in experiment.predictions if each.id == measure.over), None)
    if prediction is None:
        raise NotTested(f"no prediction {measure.over} in this run")
    try:
        return predicted(prediction, experiment, measure.of[0], _as_point(readings, point))
    except FormulaError as error:
        raise NotTested(f"{prediction.id} predicts nothing here: {error}") from error


def whole(figure: Replicates, name: str, variant: str) -> Replicates:
    """The figure, all of it finite."""
    for replicate, value in figure.items():
        if not math.isfinite(value):
            raise NotTested(f"{name} of {variant} is {value} (replicate {replicate})")
    return figure


def _along_axis(
    measure: Measure, axis: str, experiment: Experiment, readings: Readings, level: float
) -> Measured:
    """An exponent or a trend over all points of one axis; a variant that failed at one of them leaves a
    gap, and with it no answer."""
    variant, name = measure.of[0], measure.metric
    if axis not in readings.keys:
        raise NotTested(f"{axis} is not swept in this run")
    open_point = point_of(experiment, readings, measure.where, along=axis)
    index = readings.keys.index(axis)

    def at(value: Scalar | None) -> PointValues:
        return (*open_point[:index], value, *open_point[index + 1 :])

    planned = experiment.values_of(axis)
    extra = {
        point[index] for who, point, metric in readings.figures
        if who == variant and metric == name and point == at(point[index])
    }  # fmt: skip
    values = [*planned, *sorted(extra - set(planned), key=str)]
    rows = [whole(readings.get(variant, at(value), name), name, variant) for value in values]
    if not all(isinstance(value, int | float) for value in values):
        raise NotTested(f"{axis} is not a number")
    common = sorted(set.intersection(*(set(row) for row in rows)))
    if not common:
        raise NotTested(f"no replicate of {name} of {variant} has all points of {axis}")
    table = np.array([[row[replicate] for row in rows] for replicate in common])
    return _line(
        measure,
        experiment,
        [float(v) for v in values if v is not None],
        table,
        _as_point(readings, open_point),
        level,
    )


def _over_steps(
    measure: Measure, experiment: Experiment, readings: Readings, curves: pd.DataFrame | None, level: float
) -> Measured:
    variant, name = measure.of[0], measure.metric
    point = point_of(experiment, readings, measure.where)
    if readings.statuses.get((variant, point), ("ok", ""))[0] != "ok":
        readings.get(variant, point, name)  # raises with the reason in words
    if curves is None or curves.empty:
        raise NotTested("this run has no curves")
    rows = curves[(curves["variant"] == variant) & (curves["metric"] == name)]
    for key, value in zip(readings.keys, point, strict=True):
        if value is not None:
            rows = rows[rows[key] == value]
    if rows.empty:
        raise NotTested(f"no curve of {name} for {variant}")
    table = rows.pivot_table(index="replicate", columns="step", values="value", aggfunc="mean")
    steps = [float(step) for step in table.columns]
    return _line(measure, experiment, steps, table.to_numpy(dtype=float), _as_point(readings, point), level)


def _line(
    measure: Measure,
    experiment: Experiment,
    xs: Sequence[float],
    table: Floats,
    point: dict[str, Scalar],
    level: float,
) -> Measured:
    sampled = experiment.metrics[measure.metric].kind != "counted"
    form: Callable[..., Interval] = exponent_interval if measure.kind == "exponent" else trend_interval
    if measure.kind == "exponent" and len(set(xs)) < 2:
        raise NotTested(f"an exponent over {measure.over} needs two points; this run has {len(set(xs))}")
    if measure.kind == "trend" and len(set(xs)) < 3:
        raise NotTested(f"a trend over {measure.over} needs three points; this run has {len(set(xs))}")
    try:
        found = form(xs, table, level)
    except ValueError as error:
        raise NotTested(f"{measure.metric} of {measure.of[0]} over {measure.over}: {error}") from error
    if not sampled:
        found = counted(found.estimate)
    return Measured((found,), (), len(table), point, sampled)


def _as_point(readings: Readings, point: PointValues) -> dict[str, Scalar]:
    return {key: value for key, value in zip(readings.keys, point, strict=True) if value is not None}
