"""The conditions of a run that decide whether its figures can be judged: how far it is, and what disturbed its clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..experiment.schema import Experiment, Measure
from .looks import Look, last_and_next
from .measures import Measured
from .tables import PointValues, Readings


@dataclass(frozen=True)
class Conditions:
    """How far a run has come, and what disturbed its clock.

    Attributes:
        planned: the replicates asked for when the run was made.
        complete: replicates all of whose trials have ended, in whatever way.
        busy: point and replicate of each timing process whose machine was busy with something else.
        off: by tier and point, why the A/A control there is off.
        again: looks that were taken once more, since trials which had failed there were done again.
    """

    planned: int
    complete: int
    busy: frozenset[tuple[PointValues, int]] = frozenset()
    off: Mapping[tuple[str, PointValues], str] = field(default_factory=dict)
    again: tuple[int, ...] = ()

    @property
    def look(self) -> Look | None:
        """The look whose verdicts stand; None before the first."""
        return last_and_next(self.planned, self.complete, self.again)[0]

    @property
    def next_look(self) -> Look:
        return last_and_next(self.planned, self.complete, self.again)[1]

    @property
    def is_always_busy(self) -> bool:
        """Whether no process of the points that were disturbed had the machine for itself."""
        points = {point for point, _ in self.busy}
        return 0 < len(points) * self.complete <= len(self.busy)


def up_to(readings: Readings, n: int) -> Readings:
    """The first `n` replicates of every figure."""
    return _only(readings, lambda point, replicate: replicate < n)


def without_busy(readings: Readings, conditions: Conditions) -> Readings:
    """The figures without the processes whose machine was busy with something else."""
    if not conditions.busy:
        return readings
    return _only(readings, lambda point, replicate: (point, replicate) not in conditions.busy)


def busy_among(
    conditions: Conditions, readings: Readings, measure: Measure, observed: Measured
) -> tuple[int, int]:
    """How many of the processes behind a measure had a busy machine, and how many processes there are."""
    if not conditions.busy:
        return 0, 0
    processes = [
        (point, replicate)
        for point in readings.points
        if _is_at(point, readings, observed)
        for replicate in readings.figures.get((measure.of[0], point, measure.metric), {})
    ]
    return sum(1 for process in processes if process in conditions.busy), len(processes)


def control_doubt(
    conditions: Conditions, measure: Measure, experiment: Experiment, readings: Readings, observed: Measured
) -> str:
    """Why the control of a tier is off at a point that is measured; empty where none is."""
    tiers = {experiment.variants[name].tier for name in measure.variants}
    reasons = (
        f"A/A control off: {reason}"
        for (tier, point), reason in conditions.off.items()
        if tier in tiers and _is_at(point, readings, observed)
    )
    return next(reasons, "")


def _only(readings: Readings, keep: Callable[[PointValues, int], bool]) -> Readings:
    figures = {
        (variant, point, metric): {r: value for r, value in figure.items() if keep(point, r)}
        for (variant, point, metric), figure in readings.figures.items()
    }
    return replace(readings, figures={where: figure for where, figure in figures.items() if figure})


def _is_at(point: PointValues, readings: Readings, observed: Measured) -> bool:
    """Whether a point is the point of a measure, or lies along its axis."""
    here = dict(zip(readings.keys, point, strict=True))
    return all(here[key] == value for key, value in observed.point.items())
