"""How a run went, as far as that decides whether its figures can be judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..experiment.schema import Experiment, Measure
from .measures import Measured
from .tables import Place, Readings


@dataclass(frozen=True)
class Course:
    """How far a run has come, and what disturbed its clock.

    Attributes:
        planned: the replicates asked for when the run was made.
        complete: replicates all of whose trials have ended, in whatever way.
        busy: place and replicate of each timing process beside which the machine was busy with something else.
        off: by tier and place, why the A/A control there is off.
    """

    planned: int
    complete: int
    busy: frozenset[tuple[Place, int]] = frozenset()
    off: Mapping[tuple[str, Place], str] = field(default_factory=dict)


def up_to(readings: Readings, n: int) -> Readings:
    """The first `n` replicates of every figure."""
    return _only(readings, lambda place, replicate: replicate < n)


def quiet(readings: Readings, course: Course) -> Readings:
    """Without the processes beside which the machine was busy."""
    if not course.busy:
        return readings
    return _only(readings, lambda place, replicate: (place, replicate) not in course.busy)


def busy_among(course: Course, readings: Readings, measure: Measure, seen: Measured) -> tuple[int, int]:
    """How many of the processes behind a measure had a busy machine, and how many there are."""
    if not course.busy:
        return 0, 0
    processes = [
        (place, replicate)
        for place in readings.places
        if _is_at(place, readings, seen)
        for replicate in readings.figures.get((measure.of[0], place, measure.metric), {})
    ]
    return sum(1 for process in processes if process in course.busy), len(processes)


def control_doubt(
    course: Course, measure: Measure, experiment: Experiment, readings: Readings, seen: Measured
) -> str:
    """Why the control of a tier is off at a point that is measured; empty where none is."""
    tiers = {experiment.variants[name].tier for name in measure.variants}
    reasons = (
        f"A/A control off: {reason}"
        for (tier, place), reason in course.off.items()
        if tier in tiers and _is_at(place, readings, seen)
    )
    return next(reasons, "")


def _only(readings: Readings, keep: Callable[[Place, int], bool]) -> Readings:
    figures = {
        (variant, place, metric): {r: value for r, value in figure.items() if keep(place, r)}
        for (variant, place, metric), figure in readings.figures.items()
    }
    return replace(readings, figures={where: figure for where, figure in figures.items() if figure})


def _is_at(place: Place, readings: Readings, seen: Measured) -> bool:
    """Whether a place is the point of a measure, or one of those along its axis."""
    here = dict(zip(readings.keys, place, strict=True))
    return all(here[key] == value for key, value in seen.place.items())
