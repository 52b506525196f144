"""A run as a person sees it: question, plan, live view, last screen; and which exit code it deserves."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ..core.experiment.document import Document, read
from ..core.experiment.request import Request
from .screen import print_json, stop, table

if TYPE_CHECKING:
    from ..core.experiment.load import Loaded
    from ..core.run.environment import Place
    from ..core.run.folder import Run


@dataclass(frozen=True)
class Asked:
    """The options of `lab run`."""

    request: Request = field(default_factory=Request)
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    resume: bool = False
    retry_failed: bool = False
    label: str = ""
    results: Path = Path("results")
    dry_run: bool = False
    json: bool = False
    fail_on: frozenset[str] = frozenset()


def print_question(document: Document, screen: Console) -> None:
    """The first line, from the bare file, before anything heavy is imported."""
    data = document.data
    screen.print(
        f"[name]{escape(str(data.get('name', document.path.stem)))}[/] · {escape(str(data.get('question', '')))}"
    )


def perform(document: Document, asked: Asked, screen: Console) -> int:
    """Run it, print the last screen, return the exit code.

    Raises:
        Mistakes: the file or what was asked for is wrong.
    """
    from ..core.run.execute import warm_up

    where = _place(asked.device, asked.threads or 1, asked.workers)
    if isinstance(document.data.get("trial"), str) and not asked.dry_run:
        warm_up(document.data["trial"])
    # A task or a model of the user's is tried when it is named, which can take seconds.
    with screen.status("reading what the experiment names …") if screen.is_terminal else _quietly():
        run, loaded, preset = _resumed(document, asked) if asked.resume else _fresh(document, asked, where)
    if run is not None:
        where = _place(run.facts["device"], run.facts["threads"], asked.workers)
    _print_plan(loaded, where, screen)
    if asked.dry_run:
        _print_trials(loaded, run, asked, screen)
        return 0
    if run is None:
        run = _create(document, loaded, asked, where, preset)
    from ..core.run.opening import let_go

    try:
        return _perform(run, loaded, document, asked, where, screen)
    finally:
        let_go(run)


def _perform(
    run: Run, loaded: Loaded, document: Document, asked: Asked, where: Place, screen: Console
) -> int:
    """The trials that are left, the last screen, the exit code."""
    from ..core.run.estimate import seconds_by_point
    from ..core.run.execute import Interrupted, execute
    from ..core.run.folder import newest
    from ..core.run.plan import plan
    from .live_view import LiveView

    before = newest(asked.results, loaded.experiment.name, full=run.facts["full"], finished=True)
    trials = plan(loaded)
    already = {
        trial.key: float(result.get("seconds", 0.0)) for trial in trials if (result := run.result(trial))
    }
    if already:
        screen.print(f"{len(already)} of {len(trials)} trials are done already")
    try:
        with LiveView(
            screen, loaded.experiment, trials, where.workers, already, seconds_by_point(before)
        ) as view:
            execute(loaded, run, where, view.hear, view.wait)
    except Interrupted:
        screen.print(
            f"interrupted; what is done is kept. To go on: [command]{_resume_command(document, asked)}[/]"
        )
        if asked.json:
            print_json({"run": run.id, "folder": str(run.folder), "status": "interrupted"})
        return 130
    return _finish(run, asked, screen)


def _place(device: str, threads: int, workers: int | None) -> Place:
    from ..core.run.environment import NoDevice, place

    try:
        return place(device, threads, workers)
    except NoDevice as error:
        stop(error)


def _fresh(document: Document, asked: Asked, where: Place) -> tuple[Run | None, Loaded, str | None]:
    from dataclasses import replace

    from ..core.experiment.load import load_document

    request, presets = asked.request, document.data.get("presets")
    if request.preset is None and where.device == "cuda" and isinstance(presets, dict) and "gpu" in presets:
        request = replace(request, preset="gpu")
    return None, load_document(document, request), request.preset


def _resumed(document: Document, asked: Asked) -> tuple[Run, Loaded, str | None]:
    """The newest run of this name that is not finished, or that has fewer replicates than are asked for now."""
    from ..core.experiment.load import load_document
    from ..core.experiment.shape import shaped
    from ..core.run.folder import runs
    from ..core.run.lock import signed
    from ..core.run.opening import claim, hold, let_go

    request = asked.request
    if request.preset or request.sets or request.add or request.direction or request.variants:
        stop("--resume goes on with a run as it was asked for; only --seeds or --repeats may grow")
    name = shaped(document).name
    more = request.seeds or request.repeats
    for run in runs(asked.results, name):
        if run.facts["status"] == "finished" and not more and not run.to_try_again(asked.retry_failed):
            continue
        # Held before anything is read for good and torch is imported: whoever comes second is told so.
        if run.facts["status"] == "running" or not (asked.dry_run or hold(run)):
            stop(f"run {run.id} of {name} is still running, in another terminal ({signed(run.lock)})")
        try:
            facts = run.facts
            if facts["status"] == "finished" and not more and not run.to_try_again(asked.retry_failed):
                let_go(run)  # done by who held it until now
                continue
            _refuse_another_place(run, facts, asked)
            _refuse_fewer(run, facts, request)
            _refuse_changed_files(run, facts)
            loaded = load_document(read(run.folder / "experiment.yaml"), request, is_resolved=True)
            if not asked.dry_run:
                claim(run, loaded, asked.retry_failed)
            return run, loaded, facts["preset"]
        except BaseException:
            let_go(run)
            raise
    stop(f"no unfinished run of {name} in {asked.results}/; to start one: lab run {name}", code=2)


def _refuse_another_place(run: Run, facts: dict[str, Any], asked: Asked) -> None:
    """Device and threads are the run's own."""
    if asked.device not in ("auto", facts["device"]) or asked.threads not in (None, facts["threads"]):
        began = f"--device {facts['device']} --threads {facts['threads']}"
        stop(f"run {run.id} began with {began}; half here, half there is no measurement: start a new run")


def _refuse_fewer(run: Run, facts: dict[str, Any], request: Request) -> None:
    from ..core.run.opening import experiment_of

    for noun, asked in (("seeds", request.seeds), ("repeats", request.repeats)):
        had = getattr(experiment_of(run), noun)
        if asked and had and (asked < had or asked == had and facts["status"] == "finished"):
            stop(f"run {run.id} has {had} {noun}; --resume adds to them: --{noun} {had + 1} or more")


def _refuse_changed_files(run: Run, facts: dict[str, Any]) -> None:
    from ..core.own_files import digest
    from ..core.run.environment import code_digest

    if facts.get("code") not in (None, code_digest()):
        stop(
            f"lab itself has changed since run {run.id} began; half old, half new is no measurement: start a new run"
        )
    for name, then in facts["files"].items():
        path = Path(name)
        if not path.exists() or digest(path) != then:
            what = "has changed" if path.exists() else "is gone"
            stop(
                f"{path.name} {what} since run {run.id} began; half old, half new is no measurement: start a new run"
            )


def _print_plan(loaded: Loaded, where: Place, screen: Console) -> None:
    experiment = loaded.experiment
    axes = " · ".join(f"{axis} {_span(values)}" for axis, values in experiment.axes.items())
    threads = f"{where.threads} thread{'s' if where.threads > 1 else ''}"
    claims = f"{len(experiment.claims)} claim{'' if len(experiment.claims) == 1 else 's'}"
    variants = ", ".join(experiment.variants)
    if len(experiment.variants) > 8:
        variants = f"{len(experiment.variants)} variants"
    parts = [claims, variants, axes, f"{where.device.upper()}, {threads}"]
    screen.print(escape(" · ".join(part for part in parts if part)), style="quiet")


def _span(values: list[Any]) -> str:
    numbers = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
    return ", ".join(numbers) if len(numbers) <= 4 else f"{numbers[0]} … {numbers[-1]}"


def _print_trials(loaded: Loaded, run: Run | None, asked: Asked, screen: Console) -> None:
    from ..core.run.plan import plan

    trials = plan(loaded)
    done = {trial.key for trial in trials if run is not None and run.result(trial)}
    if asked.json:
        keys = ("kind", "variant", "point", "replicate", "key")
        print_json(
            [{key: getattr(trial, key) for key in keys} | {"done": trial.key in done} for trial in trials]
        )
        return
    words = {"check": "check", "peaks": "measure the machine", "time": "time all variants", "train": "train"}
    rows = []
    for index, trial in enumerate(trials, 1):
        what = f"{words[trial.kind]} {trial}" if trial.kind != "peaks" else words["peaks"]
        replicate = str(trial.replicate + 1) if trial.kind in ("time", "train") else ""
        rows.append([str(index), escape(what), replicate, "done" if trial.key in done else ""])
    screen.print(table([">#", "trial", ">replicate", ""], rows, shorten=1))
    screen.print(f"{len(trials)} trials, nothing run (--dry-run)")


def _create(document: Document, loaded: Loaded, asked: Asked, where: Place, preset: str | None) -> Run:
    from ..core.atomic import write
    from ..core.run.environment import changes, environment_facts
    from ..core.run.opening import create

    usual = document.data.get("repeats") or document.data.get("seeds") or 1
    is_changed = (
        asked.request.sets
        or asked.request.direction
        or asked.request.variants
        or loaded.experiment.replicates < usual
    )
    facts = {
        "preset": preset,
        # Only a run of all that the file says may take the place of such a one; --add says more.
        "full": preset != "quick" and not is_changed,
        "label": asked.label,
        "command": shlex.join(["lab", *sys.argv[1:]]),
        "params": _defaults(loaded) | loaded.experiment.params,
        "device": where.device,
        "threads": where.threads,
        "workers": where.workers,
    }
    try:
        run = create(asked.results, loaded, facts, environment_facts(where))
    except OSError as error:
        stop(
            f"{asked.results}/ cannot be written: {error.strerror}. Choose another folder: --results DIR",
            code=2,
        )
    if patch := changes():
        write(run.folder / "changes.patch", patch + "\n")
    return run


def _defaults(loaded: Loaded) -> dict[str, Any]:
    """What the subject does when the file does not say: part of the setting that verdicts compare."""
    fields = loaded.subject.params.model_fields.items()
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in fields
        if not field.is_required()
    }


def _finish(run: Run, asked: Asked, screen: Console) -> int:
    from ..core.analysis.verdicts import tally
    from .last_screen import print_last_screen
    from .run_results import exit_code, results_of, summary_data

    with screen.status("judging and drawing …") if screen.is_terminal else _quietly():
        results = results_of(run)
    run.tell(result=tally(results.verdicts))
    print_last_screen(results, screen)
    if asked.json:
        print_json(summary_data(results))
    return exit_code(results, asked.fail_on)


def _quietly() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def _resume_command(document: Document, asked: Asked) -> str:
    place = [] if asked.results == Path("results") else ["--results", str(asked.results)]
    name = document.data["name"] if document.path.stem == document.data["name"] else str(document.path)
    return escape(shlex.join(["lab", "run", str(name), "--resume", *place]))
