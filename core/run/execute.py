"""Runs a plan to its end: checks side by side, then timing alone on the machine; or training side by side."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..experiment.load import Loaded
from ..experiment.subject import modules
from . import lock, schedule
from .compiling import FOLDER as COMPILING
from .compiling import compiled_first
from .environment import Resources
from .files import write_json
from .folder import Run
from .plan import Trial, key_of, params_of, plan, points, seeds_abreast
from .process import Job
from .products import products_of
from .schedule import Event
from .variables import check_variables

NEVER_TIMED = "reference"  # the tier of code to read

PEAKS_TIMEOUT = 60.0  # seconds; the `timeout` of an experiment is for its own trials


class Interrupted(Exception):
    """The user pressed Ctrl-C, or the process got SIGTERM or SIGHUP; finished trials are kept."""


class OutOfTime(Interrupted):
    """The time that was given is spent; finished trials are kept."""


def warm_up(*subjects: str) -> None:
    """Start the server of trial processes, which loads torch and these subjects meanwhile; returns at once.

    Raises Mistakes: an environment variable that `check_variables` reads is none of its values.
    """
    from ..measure.threads import thread_environment

    check_variables()
    # One thread, whatever a trial gets: a process that forks must not have threads. Trials set their own number.
    loaded = [name for subject in subjects for name in modules(subject)]
    schedule.start_server(list(dict.fromkeys(loaded)), thread_environment(1))


def execute(
    loaded: Loaded,
    run: Run,
    resources: Resources,
    on_event: Callable[[Event], None],
    on_wait: Callable[[str], None],
    seconds: float | None = None,
) -> None:
    """Run every trial of the plan that has no result yet; `on_wait` gets a line that says what it waits for.

    Raises:
        OutOfTime: they took longer than `seconds`.
        Interrupted: after everything that ran has been ended and the run is marked so.
        OSError: the results folder can no longer be written.
    """
    began, before = time.monotonic(), float(run.facts["seconds"])

    def elapsed() -> float:
        return round(before + time.monotonic() - began, 2)

    status = "stopped"
    try:
        with _interruptible(seconds):
            if loaded.subject.is_timing:
                with alone_on_the_machine(run, on_wait):
                    _timing(loaded, run, resources, on_event)
            else:
                resources = replace(resources, products=products_of(run, resources, on_wait))
                _side_by_side(
                    loaded, run, resources, seeds_abreast(plan(loaded), resources.workers), on_event
                )
        status = "finished"
    except (KeyboardInterrupt, Interrupted) as why:
        status = "interrupted"
        raise (OutOfTime if isinstance(why, OutOfTime) else Interrupted) from None
    finally:
        run.update(status=status, seconds=elapsed(), counts=counts(run, loaded))


def counts(run: Run, loaded: Loaded) -> dict[str, int]:
    """How many trials are planned, and how many ended with each status."""
    tally = {"planned": len(plan(loaded))}
    for result in run.results():
        tally[result["status"]] = tally.get(result["status"], 0) + 1
    return tally


def _timing(loaded: Loaded, run: Run, resources: Resources, on_event: Callable[[Event], None]) -> None:
    trials = plan(loaded)
    in_time = [name for name, variant in loaded.experiment.variants.items() if variant.tier != NEVER_TIMED]
    later = [
        _job(loaded, run, resources, trial, in_time)
        for trial in trials
        if trial.kind == "time" and run.result(trial) is None
    ]
    checks = [trial for trial in trials if trial.kind == "check"]
    _side_by_side(loaded, run, resources, checks, on_event, later)
    passed = passing(run, trials)
    for trial in trials:
        if trial.kind == "check":
            continue
        if trial.kind == "peaks":
            if run.result(trial) is None:
                schedule.run([_peaks_job(loaded, run, resources, trial)], 1, PEAKS_TIMEOUT, on_event)
            continue
        variants = [name for name in loaded.experiment.variants if (name, _point(trial)) in passed]
        timed = [name for name in variants if name in in_time]
        # Variants are compared in one process or not at all: one that passed only now is timed again with the others.
        if (done := run.result(trial)) is not None and not (
            done["status"] == "ok" and set(timed) - set(done["samples"])
        ):
            continue
        # Alone, whatever --workers says: a neighbour disturbs timing most.
        schedule.run([_job(loaded, run, resources, trial, timed)], 1, loaded.experiment.timeout, on_event)
    write_json(run.folder / "environment.json", run.environment)


def check_only(
    loaded: Loaded,
    variant: str,
    points: Sequence[Mapping[str, Any]],
    resources: Resources,
    timeout: float,
    folder: Path,
) -> list[dict[str, Any]]:
    """Check one variant at these points and nothing else; the results in the order of the points.

    Ends early, with fewer results, after a trial that crashed or did not end: the others would most likely do the same,
    and take as long.
    """
    (folder / "trials").mkdir()
    run = Run(folder)
    trials = [Trial("check", variant, point, 0, key_of("check", variant, point, 0)) for point in points]
    results: list[dict[str, Any]] = []
    for start in range(0, len(trials), resources.workers):
        batch = trials[start : start + resources.workers]
        schedule.run(
            [_job(loaded, run, resources, t, [variant]) for t in batch],
            resources.workers,
            timeout,
            lambda event: None,
        )
        results += [run.result(trial) or {} for trial in batch]
        if any(result.get("status") in ("failed", "timeout") for result in results):
            break
    return results


def passing(run: Run, trials: Sequence[Trial]) -> set[tuple[str, tuple[tuple[str, Any], ...]]]:
    """Variant and point of every check that found nothing wrong."""
    return {
        (trial.variant, _point(trial))
        for trial in trials
        if trial.kind == "check" and (result := run.result(trial)) is not None and result["status"] == "ok"
    }


def _point(trial: Trial) -> tuple[tuple[str, Any], ...]:
    return tuple(trial.point.items())


def _side_by_side(
    loaded: Loaded,
    run: Run,
    resources: Resources,
    trials: Sequence[Trial],
    on_event: Callable[[Event], None],
    later: Sequence[Job] = (),
) -> None:
    """Those that have no result yet; first the kernels are compiled that they and `later` jobs need."""
    jobs = [
        _job(loaded, run, resources, trial, [trial.variant]) for trial in trials if run.result(trial) is None
    ]
    jobs, compiling = compiled_first(loaded.subject, jobs, later, run.folder)
    workers = resources.workers
    try:
        schedule.run(
            jobs,
            workers,
            loaded.experiment.timeout,
            lambda event: on_event(compiling.in_numbers(event, workers)),
        )
    finally:
        shutil.rmtree(run.folder / COMPILING, ignore_errors=True)


def _job(loaded: Loaded, run: Run, resources: Resources, trial: Trial, variants: Sequence[str]) -> Job:
    params: Mapping[str, Mapping[str, Any]] = {
        name: params_of(loaded, name, trial.point) for name in variants
    }
    return Job(
        trial=trial,
        subject=str(loaded.subject.file)
        if loaded.experiment.trial.endswith(".py")
        else loaded.experiment.trial,
        base=str(loaded.folder),
        folder=str(run.of(trial).absolute()),  # a trial may go elsewhere
        params=params,
        controls=_controls(loaded, variants) if trial.kind == "time" else (),
        device=resources.device,
        threads=resources.threads,
        sample_seconds=loaded.experiment.sample_seconds,
        products=resources.products,
    )


def _peaks_job(loaded: Loaded, run: Run, resources: Resources, trial: Trial) -> Job:
    """In the dtype of the first point."""
    first = next(iter(loaded.experiment.variants))
    params = {first: params_of(loaded, first, points(loaded)[0])}
    return replace(_job(loaded, run, resources, trial, []), params=params)


def _controls(loaded: Loaded, timed: Sequence[str]) -> tuple[str, ...]:
    """The first of each tier that is timed: the A/A control."""
    firsts = (
        next((name for name in names if name in timed), None) for names in loaded.experiment.tiers.values()
    )
    return tuple(name for name in firsts if name is not None)


@contextmanager
def alone_on_the_machine(run: Run, on_wait: Callable[[str], None]) -> Iterator[None]:
    """One timing run at a time on a machine; a second one waits and names the first.

    Where the lock cannot be taken, or a run with another temporary folder is timing, a note of the run says so.
    """
    path, owner = Path(tempfile.gettempdir()) / "lab-timing.lock", f"{run.facts['experiment']} {run.id}"
    with ExitStack() as held:
        try:
            if (descriptor := lock.acquire(path, for_everybody=True)) is None:
                on_wait(f"waiting for {lock.owner(path)}: two runs that time at once would spoil each other")
                while (descriptor := lock.acquire(path, for_everybody=True)) is None:
                    pass
            held.callback(os.close, descriptor)
            lock.write_owner(descriptor, owner)
        except OSError as error:
            _note_company(
                run, on_wait, f"whether another run is timing cannot be known: {path}: {error.strerror}"
            )
        # Runs with different temporary folders do not wait for each other; a note says that they met.
        with suppress(OSError):
            everywhere = Path("/tmp") / "lab-timing-anywhere.lock"
            if (second := lock.acquire(everywhere, for_everybody=True, patience=0.1)) is not None:
                held.callback(os.close, second)
                lock.write_owner(second, owner)
            else:
                _note_company(
                    run, on_wait, f"{lock.owner(everywhere)} is timing as well, under another TMPDIR"
                )
        yield


def _note_company(run: Run, on_wait: Callable[[str], None], message: str) -> None:
    on_wait(message)
    before = run.facts.get("company") or ""
    if message not in before:
        run.update(company=f"{before}; {message}" if before else message)


@contextmanager
def _interruptible(seconds: float | None) -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as cleanly as Ctrl-C does, and so does its time; a SIGHUP that `nohup` ignores stays
    ignored."""

    def on_signal(number: int, frame: object) -> None:
        raise OutOfTime if number == signal.SIGALRM else Interrupted

    previous = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    }
    for number, handler in previous.items():
        if handler != signal.SIG_IGN or number == signal.SIGALRM:
            signal.signal(number, on_signal)
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
