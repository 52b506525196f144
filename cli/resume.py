"""`lab run --resume`: the run to go on with, and what would make it no measurement."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

from ..core.experiment.document import read
from ..core.experiment.overview import NAME
from ..core.experiment.request import Request
from .experiment_file import path_of
from .options import results_words
from .run_options import RunOptions
from .screen import Stopped, ago, err, stop
from .until import cost

if TYPE_CHECKING:
    from ..core.experiment.load import Loaded
    from ..core.run.folder import Run


class NothingToResume(Stopped):
    """No full run of an experiment is unfinished."""


def run_to_resume(name: str | None, options: RunOptions) -> Run:
    """The run that --resume means, held (but for a dry run): the one called so; else the newest full one that is unfinished,
    or is to grow. Needs no torch, so that a second `--resume` learns at once that it is the second."""
    from ..core.run.lock import owner
    from ..core.run.opening import experiment_of, hold, release

    request = options.request
    if request.preset or request.sets or request.add or request.direction or request.variants:
        stop("--resume goes on with a run as it is; only --seeds or --repeats may grow")
    title = None if name is None else _title(name, options.results)
    for run in _called(title, options) if options.resume else _unfinished(title or "", options):
        if run.facts["status"] == "running" or not (options.dry_run or hold(run)):
            stop(
                f"run {run.id} of {run.facts['experiment']} is still running, in another terminal ({owner(run.lock)})"
            )
        if _is_open(run, options):
            return run
        release(run)  # finished; or it was, by the process that held it until now
        if options.resume:
            nouns = f"{experiment_of(run).noun}s"
            stop(
                f"run {run.id} is finished. For more {nouns}: --{nouns} N, or --until settled; "
                "to do again what failed: --retry-failed"
            )
    _stop_without(title or "", options)


def loaded_to_resume(run: Run, options: RunOptions) -> Loaded:
    """The experiment of a run that is held, with the replicates that it is to have; the run is open for them."""
    from ..core.experiment.load import load_document
    from ..core.run.opening import reopen

    facts = run.facts
    _refuse_other_resources(run, facts, options)
    _refuse_fewer(run, facts, options.request)
    if why := why_it_cannot_go_on(run, facts):
        stop(why)
    loaded = load_document(read(run.folder / "experiment.yaml"), options.request, is_resolved=True)
    if not options.dry_run:
        reopen(run, loaded, options.retry_failed)
    return loaded


def print_resumed(run: Run, options: RunOptions, screen: Console) -> None:
    """Print which run goes on, and what more replicates cost."""
    from ..core.analysis.looks import last_and_next
    from ..core.run.opening import experiment_of, looks_again, planned_replicates

    facts, experiment = run.facts, experiment_of(run)
    had, noun = experiment.replicates, experiment.noun
    kind = "full" if facts["full"] else facts["preset"] or "not full"
    # What says that it is running is held by us now: whoever ran it was killed.
    status = "interrupted" if facts["status"] == "running" else facts["status"]
    screen.print(f"going on with run {run.id}: {kind}, {ago(facts['started'])}, {status}, {had} {noun}s")
    if not (count := options.request.repeats or options.request.seeds) or count == had:
        return
    look, following = last_and_next(planned_replicates(run), count, looks_again(facts))
    if look is not None and look.n > had:
        screen.print(cost(look, noun), style="quiet")
    else:
        screen.print(
            f"verdicts stay as they are at {count} {noun}s: the next look is at {following.n}", style="open"
        )


def _title(name: str, results: Path) -> str:
    """The name of an experiment as its runs' folder has it; an experiment whose file is gone has runs still."""
    from ..core.experiment.shape import shaped

    if NAME.fullmatch(name) and (results / name).is_dir():
        return name
    return shaped(read(path_of(name))).name


def _called(title: str | None, options: RunOptions) -> Iterator[Run]:
    from ..core.run.folder import runs
    from ..core.suggest import nearest

    letters = options.resume or ""
    everywhere = [run for run in runs(options.results) if letters in (run.id, run.folder.name)]
    yield from (run for run in everywhere if title in (None, run.folder.parent.name))
    if everywhere:
        stop(f"run {letters} is of {everywhere[0].folder.parent.name}, not of {title}")
    known = [run.id for run in runs(options.results, title)]
    of = f" of {title}" if title else ""
    stop(f"no run {letters}{of} in {options.results}/.{nearest(letters, known)}    all: lab runs")


def _unfinished(title: str, options: RunOptions) -> Iterator[Run]:
    """The full runs to go on with, the newest first; those that can only grow come last."""
    from ..core.run.folder import runs

    full = [run for run in runs(options.results, title) if run.facts["full"]]
    yield from sorted(full, key=lambda run: not _has_trials_left(run, options))


def _is_open(run: Run, options: RunOptions) -> bool:
    grows = options.request.seeds or options.request.repeats or options.until
    return bool(grows) or _has_trials_left(run, options)


def _has_trials_left(run: Run, options: RunOptions) -> bool:
    return not run.is_finished or bool(run.to_try_again(options.retry_failed))


def _stop_without(title: str, options: RunOptions) -> NoReturn:
    """Stop where no full run of this name is unfinished; name one that is not full."""
    from ..core.run.folder import runs

    where = results_words(options.results)
    other = next((run for run in runs(options.results, title) if _has_trials_left(run, options)), None)
    if other is not None:
        command = shlex.join(["lab", "run", title, "--resume", other.id, *where])
        said = f"no unfinished full run of {title} in {options.results}/; one that is not full: {command}"
    else:
        start = shlex.join(["lab", "run", title, *where])
        said = f"no unfinished run of {title} in {options.results}/; to start one: {start}"
    err().print(said, markup=False, soft_wrap=True)
    raise NothingToResume(said, 2)


def _refuse_other_resources(run: Run, facts: dict[str, Any], options: RunOptions) -> None:
    """Stop where options name another device or other threads than the run began with."""
    if (
        options.device not in ("auto", facts["device"])
        or max(options.threads, default=facts["threads"]) != facts["threads"]
    ):
        began = f"--device {facts['device']} --threads {facts['threads']}"
        stop(f"run {run.id} began with {began}; a run keeps its device and threads: start a new one")


def _refuse_fewer(run: Run, facts: dict[str, Any], request: Request) -> None:
    from ..core.run.opening import experiment_of

    for noun, count in (("seeds", request.seeds), ("repeats", request.repeats)):
        had = getattr(experiment_of(run), noun)
        if count and had and (count < had or count == had and facts["status"] == "finished"):
            stop(f"run {run.id} has {had} {noun}; --resume adds to them: --{noun} {had + 1} or more")


def why_it_cannot_go_on(run: Run, facts: dict[str, Any]) -> str | None:
    """What has changed since a run began, so that it mixes no versions; None where nothing has."""
    from ..core.own_files import digest
    from ..core.run.environment import code_digest

    if facts.get("code") not in (None, code_digest()):
        return f"lab itself has changed since run {run.id} began; a run mixes no versions of the code: start a new one"
    for name, then in facts.get("files", {}).items():
        path = Path(name)
        if not path.exists() or digest(path) != then:
            what = "has changed" if path.exists() else "is gone"
            return f"{path.name} {what} since run {run.id} began; a run mixes no versions of a file: start a new one"
    return None
