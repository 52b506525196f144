"""`lab run --resume`: the run to go on with, and what would make it no measurement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.experiment.document import Document, read
from ..core.experiment.request import Request
from .run_options import RunOptions
from .screen import stop

if TYPE_CHECKING:
    from ..core.experiment.load import Loaded
    from ..core.run.folder import Run


def resumed(document: Document, options: RunOptions) -> tuple[Run, Loaded, str | None]:
    """The newest run of this name that is unfinished, or has fewer replicates than --seeds or --repeats says."""
    from ..core.experiment.load import load_document
    from ..core.experiment.shape import shaped
    from ..core.run.folder import runs
    from ..core.run.lock import owner
    from ..core.run.opening import hold, release, reopen

    request = options.request
    if request.preset or request.sets or request.add or request.direction or request.variants:
        stop("--resume goes on with a run as it is; only --seeds or --repeats may grow")
    name = shaped(document).name
    more = request.seeds or request.repeats
    for run in runs(options.results, name):
        if run.facts["status"] == "finished" and not more and not run.to_try_again(options.retry_failed):
            continue
        # Held before torch is imported, so that a second `--resume` learns at once that it is the second.
        if run.facts["status"] == "running" or not (options.dry_run or hold(run)):
            stop(f"run {run.id} of {name} is still running, in another terminal ({owner(run.lock)})")
        try:
            facts = run.facts
            if facts["status"] == "finished" and not more and not run.to_try_again(options.retry_failed):
                release(run)  # finished by the process that held it until now
                continue
            _refuse_other_resources(run, facts, options)
            _refuse_fewer(run, facts, request)
            _refuse_changed_files(run, facts)
            loaded = load_document(read(run.folder / "experiment.yaml"), request, is_resolved=True)
            if not options.dry_run:
                reopen(run, loaded, options.retry_failed)
            return run, loaded, facts["preset"]
        except BaseException:
            release(run)
            raise
    stop(f"no unfinished run of {name} in {options.results}/; to start one: lab run {name}", code=2)


def _refuse_other_resources(run: Run, facts: dict[str, Any], options: RunOptions) -> None:
    """Stop where options name another device or other threads than the run began with."""
    if options.device not in ("auto", facts["device"]) or options.threads not in (None, facts["threads"]):
        began = f"--device {facts['device']} --threads {facts['threads']}"
        stop(f"run {run.id} began with {began}; a run keeps its device and threads: start a new one")


def _refuse_fewer(run: Run, facts: dict[str, Any], request: Request) -> None:
    from ..core.run.opening import experiment_of

    for noun, count in (("seeds", request.seeds), ("repeats", request.repeats)):
        had = getattr(experiment_of(run), noun)
        if count and had and (count < had or count == had and facts["status"] == "finished"):
            stop(f"run {run.id} has {had} {noun}; --resume adds to them: --{noun} {had + 1} or more")


def _refuse_changed_files(run: Run, facts: dict[str, Any]) -> None:
    from ..core.own_files import digest
    from ..core.run.environment import code_digest

    if facts.get("code") not in (None, code_digest()):
        stop(
            f"lab itself has changed since run {run.id} began; a run mixes no versions of the code: start a new one"
        )
    for name, then in facts["files"].items():
        path = Path(name)
        if not path.exists() or digest(path) != then:
            what = "has changed" if path.exists() else "is gone"
            stop(
                f"{path.name} {what} since run {run.id} began; a run mixes no versions of a file: start a new one"
            )
