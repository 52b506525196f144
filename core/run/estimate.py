"""Expected seconds until a run ends: from its own trials so far, and from the last run before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..experiment.schema import point_words
from .folder import Run
from .plan import Trial

Seconds = Mapping[tuple[str, str], float]  # mean seconds by kind and point


def seconds_by_point(run: Run | None) -> dict[tuple[str, str], float]:
    """Mean seconds of a run's trials, by kind and point."""
    gathered: dict[tuple[str, str], list[float]] = {}
    for result in run.results() if run is not None else []:
        gathered.setdefault((result["kind"], point_words(result["point"])), []).append(
            float(result.get("seconds", 0))
        )
    return {where: sum(seconds) / len(seconds) for where, seconds in gathered.items()}


def seconds_left(
    trials: Sequence[Trial],
    ended: Mapping[str, float],
    running: Mapping[str, float],
    expected: Seconds,
    workers: int,
) -> float | None:
    """Expected seconds until the last trial has ended; None while no trial has ended yet.

    A trial is expected to take as long as those of its kind at its point took in this run; else as in the last run;
    else as long as the longest of its kind.
    """
    here: dict[tuple[str, str], list[float]] = {}
    kinds: dict[str, list[float]] = {}
    for trial in trials:
        if trial.key in ended:
            here.setdefault((trial.kind, point_words(trial.point)), []).append(ended[trial.key])
            kinds.setdefault(trial.kind, []).append(ended[trial.key])
    total = 0.0
    for trial in trials:
        if trial.key in ended:
            continue
        where = (trial.kind, point_words(trial.point))
        durations = here.get(where) or ([expected[where]] if where in expected else None)
        if not durations and trial.kind in kinds:
            # Grids grow: a point without figures is more likely a larger one.
            durations = [max(kinds[trial.kind])]
        if not durations:
            if trial.kind == "peaks":
                continue
            return None
        seconds = sum(durations) / len(durations) - running.get(trial.key, 0.0)
        alone = trial.kind in ("time", "peaks")
        total += max(seconds, 0.0) / (1 if alone else workers)
    return total


def seconds_to_do(run: Run, trials: Sequence[Trial], workers: int) -> float | None:
    """Expected seconds of the trials that a run has not done, from those that it has."""
    ended = {trial.key: float(done.get("seconds", 0.0)) for trial in trials if (done := run.result(trial))}
    return seconds_left(trials, ended, {}, {}, workers)
