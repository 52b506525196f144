"""Expected seconds until a run ends: from its own trials so far, from the last run before it, else from its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folder import Run, newest_first
from .stored import a_number

if TYPE_CHECKING:  # lists show what a run may take, and have no time to import the schema
    from .plan import Trial

Seconds = Mapping[tuple[str, str], float]  # mean seconds by kind and point


GFLOPS, CORES = 93.0, 2  # of the machine that `takes` of an experiment file is about
LOOKED_AT = 20  # runs, for a peak


def seconds_by_file(data: Mapping[str, Any], peak: float | None, cores: int) -> float | None:
    """What `takes` of a file comes to on this machine: less with a higher peak (GFLOP/s; None: not measured yet), and less with
    more cores where trials stand side by side. None where the file says nothing."""
    takes = data.get("takes")
    if not isinstance(takes, int | float) or not a_number(takes) or takes <= 0:
        return None
    side_by_side = CORES / cores if "seeds" in data else 1.0
    return float(takes) * side_by_side * (GFLOPS / peak if peak else 1.0)


def measured_peak(results: Path, cpu: str | None) -> float | None:
    """GFLOP/s of matrix products on a machine with this processor, from the newest run that measured them."""
    for run in islice(newest_first(results), LOOKED_AT):
        metrics = (run.result("peaks") or {}).get("metrics") or {}
        peak = metrics.get("matmul_gflops")
        if (
            isinstance(peak, int | float)
            and a_number(peak)
            and peak > 0
            and metrics.get("device") == "cpu"
            and _is_of(run, cpu)
        ):
            return float(peak)
    return None


def _is_of(run: Run, cpu: str | None) -> bool:
    try:
        return bool(run.machine.get("cpu") == cpu)
    except OSError:
        return False


def seconds_by_point(run: Run | None) -> dict[tuple[str, str], float]:
    """Mean seconds of a run's trials, by kind and point."""
    from ..experiment.schema import point_words

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
    compiling: Mapping[str, float] | None = None,
    timing: float | None = None,
) -> float | None:
    """Expected seconds until the last trial has ended; None while no trial has ended yet.

    A trial is expected to take as long as those of its kind at its point took in this run; else as in the last run;
    else as long as the longest of its kind. Of a check its variant matters instead of its point: what takes longest is to
    compile. Where neither its variant nor its point is known it takes as long as all checks on average.

    Args:
        compiling: seconds of the jobs by key that compile before; they too are in `ended` and `running`.
        timing: of a timing trial before there was any.
    """
    from ..experiment.schema import point_words

    def alike(trial: Trial) -> tuple[str, str]:
        return trial.kind, trial.variant if trial.kind == "check" else point_words(trial.point)

    here: dict[tuple[str, str], list[float]] = {}
    kinds: dict[str, list[float]] = {}
    for trial in trials:
        if trial.key in ended:
            here.setdefault(alike(trial), []).append(ended[trial.key])
            kinds.setdefault(trial.kind, []).append(ended[trial.key])
    total = sum(
        max(seconds - running.get(key, 0.0), 0.0) / workers
        for key, seconds in (compiling or {}).items()
        if key not in ended
    )
    for trial in trials:
        if trial.key in ended:
            continue
        where = (trial.kind, point_words(trial.point))
        durations = here.get(alike(trial)) or ([expected[where]] if where in expected else None)
        if not durations and trial.kind in kinds:
            # Grids grow: a point without figures is more likely a larger one.
            durations = kinds["check"] if trial.kind == "check" else [max(kinds[trial.kind])]
        if not durations:
            if trial.kind == "peaks":
                continue
            if trial.kind != "time" or timing is None:
                return None
            durations = [timing]
        seconds = sum(durations) / len(durations) - running.get(trial.key, 0.0)
        alone = trial.kind in ("time", "peaks")
        total += max(seconds, 0.0) / (1 if alone else workers)
    return total


def seconds_to_do(run: Run, trials: Sequence[Trial], workers: int) -> float | None:
    """Expected seconds of the trials that a run has not done, from those that it has."""
    ended = {trial.key: float(done.get("seconds", 0.0)) for trial in trials if (done := run.result(trial))}
    return seconds_left(trials, ended, {}, {}, workers)
