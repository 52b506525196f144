"""A run as a person sees it: question, plan, live view, last screen, and its exit code."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ..core.experiment.document import Document
from .options import RESULTS
from .resume import resumed
from .run_options import RunOptions
from .screen import print_json, stop, table, waiting

if TYPE_CHECKING:
    from ..core.experiment.load import Loaded
    from ..core.run.environment import Resources
    from ..core.run.folder import Run


def print_question(document: Document, screen: Console) -> None:
    """Print the first line, from the bare file, before anything heavy is imported."""
    data = document.data
    screen.print(
        f"[name]{escape(str(data.get('name', document.path.stem)))}[/] · {escape(str(data.get('question', '')))}"
    )


def perform(document: Document, options: RunOptions, screen: Console) -> int:
    """Run it, print the last screen, return the exit code.

    Raises:
        Mistakes: the file or the options are wrong.
    """
    from ..core.run.execute import warm_up

    resources = _resources(options.device, options.threads or 1, options.workers)
    if isinstance(document.data.get("trial"), str) and not options.dry_run:
        warm_up(document.data["trial"])
    # A task or a model of the user's is tried when it is named, which can take seconds.
    with waiting(screen, "reading what the experiment names …"):
        run, loaded, preset = (
            resumed(document, options) if options.resume else _fresh(document, options, resources)
        )
    if run is not None:
        resources = _resources(run.facts["device"], run.facts["threads"], options.workers)
    _print_plan(loaded, resources, screen)
    if options.dry_run:
        _print_trials(loaded, run, options, screen)
        return 0
    if run is None:
        run = _create(document, loaded, options, resources, preset)
    from ..core.run.opening import release

    try:
        return _perform(run, loaded, document, options, resources, screen)
    finally:
        release(run)


def _perform(
    run: Run, loaded: Loaded, document: Document, options: RunOptions, resources: Resources, screen: Console
) -> int:
    """The trials that are left, the last screen, the exit code."""
    from ..core.run.estimate import seconds_by_point
    from ..core.run.execute import Interrupted, execute
    from ..core.run.folder import newest
    from ..core.run.plan import plan
    from .live_view import LiveView

    before = newest(options.results, loaded.experiment.name, full=run.facts["full"], finished=True)
    trials = plan(loaded)
    already = {
        trial.key: float(result.get("seconds", 0.0)) for trial in trials if (result := run.result(trial))
    }
    if already:
        screen.print(f"{len(already)} of {len(trials)} trials are done already")
    try:
        with LiveView(
            screen, loaded.experiment, trials, resources.workers, already, seconds_by_point(before)
        ) as view:
            execute(loaded, run, resources, view.on_event, view.on_wait)
    except Interrupted:
        screen.print(
            f"interrupted; what is done is kept. To go on: [command]{_resume_command(document, options)}[/]"
        )
        if options.json:
            print_json({"run": run.id, "folder": str(run.folder), "status": "interrupted"})
        return 130
    return _finish(run, options, screen)


def _resources(device: str, threads: int, workers: int | None) -> Resources:
    from ..core.run.environment import NoDevice, resources

    try:
        return resources(device, threads, workers)
    except NoDevice as error:
        stop(error)


def _fresh(
    document: Document, options: RunOptions, resources: Resources
) -> tuple[Run | None, Loaded, str | None]:
    from dataclasses import replace

    from ..core.experiment.load import load_document

    request, presets = options.request, document.data.get("presets")
    if (
        request.preset is None
        and resources.device == "cuda"
        and isinstance(presets, dict)
        and "gpu" in presets
    ):
        request = replace(request, preset="gpu")
    return None, load_document(document, request), request.preset


def _print_plan(loaded: Loaded, resources: Resources, screen: Console) -> None:
    experiment = loaded.experiment
    axes = " · ".join(f"{axis} {_span(values)}" for axis, values in experiment.axes.items())
    threads = f"{resources.threads} thread{'s' if resources.threads > 1 else ''}"
    claims = f"{len(experiment.claims)} claim{'' if len(experiment.claims) == 1 else 's'}"
    variants = ", ".join(experiment.variants)
    if len(experiment.variants) > 8:
        variants = f"{len(experiment.variants)} variants"
    parts = [claims, variants, axes, f"{resources.device.upper()}, {threads}"]
    screen.print(escape(" · ".join(part for part in parts if part)), style="quiet")


def _span(values: list[Any]) -> str:
    numbers = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
    return ", ".join(numbers) if len(numbers) <= 4 else f"{numbers[0]} … {numbers[-1]}"


def _print_trials(loaded: Loaded, run: Run | None, options: RunOptions, screen: Console) -> None:
    from ..core.run.plan import plan

    trials = plan(loaded)
    done = {trial.key for trial in trials if run is not None and run.result(trial)}
    if options.json:
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


def _create(
    document: Document, loaded: Loaded, options: RunOptions, resources: Resources, preset: str | None
) -> Run:
    from ..core.atomic import write
    from ..core.experiment.own_variants import own_variants
    from ..core.run.environment import changes, environment_facts
    from ..core.run.opening import create

    usual = document.data.get("repeats") or document.data.get("seeds") or 1
    is_changed = (
        options.request.sets
        or options.request.direction
        or options.request.variants
        or loaded.experiment.replicates < usual
    )
    facts = {
        "preset": preset,
        # Only a run of all that the file says may take the place of such a one; --add says more.
        "full": preset != "quick" and not is_changed,
        "label": options.label,
        "command": shlex.join(["lab", *sys.argv[1:]]),
        "params": _defaults(loaded) | loaded.experiment.params,
        "device": resources.device,
        "threads": resources.threads,
        "workers": resources.workers,
        "own": own_variants(loaded.experiment, document),
    }
    try:
        run = create(options.results, loaded, facts, environment_facts(resources))
    except OSError as error:
        stop(
            f"{options.results}/ cannot be written: {error.strerror}. Choose another folder: --results DIR",
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


def _finish(run: Run, options: RunOptions, screen: Console) -> int:
    from ..core.analysis.verdicts import tally
    from .last_screen import print_last_screen
    from .run_results import exit_code, results_of, summary_data

    with waiting(screen, "judging and drawing …"):
        results = results_of(run)
    run.update(result=tally(results.verdicts))
    print_last_screen(results, screen)
    if options.json:
        print_json(summary_data(results))
    return exit_code(results, options.fail_on)


def _resume_command(document: Document, options: RunOptions) -> str:
    folder = [] if options.results == RESULTS else ["--results", str(options.results)]
    name = document.data["name"] if document.path.stem == document.data["name"] else str(document.path)
    return escape(shlex.join(["lab", "run", str(name), "--resume", *folder]))
