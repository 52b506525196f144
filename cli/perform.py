"""A run as a person sees it: question, plan, live view, last screen, and its exit code."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from ..core.experiment.document import Document
from .options import results_words
from .resume import loaded_to_resume
from .run_options import RunOptions
from .screen import stop, table, waiting

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


@dataclass(frozen=True)
class Done:
    """How one experiment ended.

    Attributes:
        code: the exit code.
        data: what --json prints of it.
        state: finished, interrupted, …; why it was not run.
        run, seconds, counts: of its run, where there is one: its letters, how long it took, its verdicts.
    """

    code: int
    data: Any
    state: str
    run: str = ""
    seconds: float | None = None
    counts: str = ""


def perform(document: Document, options: RunOptions, screen: Console, run: Run | None = None) -> Done:
    """Run it, or go on with a run that is held, and print the last screen.

    Raises:
        Mistakes: the file or the options are wrong.
    """
    from ..core.run.execute import warm_up
    from ..core.run.opening import experiment_of, release
    from ..core.run.variables import check_variables
    from .run_results import load_meanwhile

    check_variables()
    deadline = None if options.budget is None else time.monotonic() + options.budget
    resources = _resources(options.device, max(options.threads, default=1), options.workers)
    if isinstance(document.data.get("trial"), str) and not options.dry_run:
        warm_up(document.data["trial"])
    finished = experiment_of(run).replicates if run is not None and run.is_finished else 0
    # A task or a model of the user's is tried when it is named, which can take seconds.
    with waiting(screen, "reading what the experiment names …"):
        if run is None:
            loaded, preset = _fresh(document, options, resources)
        else:
            loaded = loaded_to_resume(run, options)
            resources = _resources(run.facts["device"], run.facts["threads"], options.workers)
    if not options.dry_run:
        load_meanwhile()
    _print_plan(loaded, resources, screen)
    if options.dry_run:
        return Done(0, _print_trials(loaded, run, options, screen), "dry run")
    run = run or _create(document, loaded, options, resources, preset)
    try:
        return _perform(run, loaded, options, resources, deadline, finished, screen)
    finally:
        release(run)


def _perform(
    run: Run,
    loaded: Loaded,
    options: RunOptions,
    resources: Resources,
    deadline: float | None,
    finished: int,
    screen: Console,
) -> Done:
    """The trials that are left, the rounds of --until, the last screen; with `finished` replicates it was finished before."""
    from ..core.run.execute import Interrupted, OutOfTime
    from ..core.run.opening import reopen
    from .until import back_to_complete, next_round

    stopped = ""  # why --until has ended
    try:
        _run_trials(run, loaded, options, resources, deadline, screen)
        while options.until and not stopped:
            following = next_round(run, resources.workers, deadline, screen)
            if isinstance(following, str):
                stopped = following
                screen.print(escape(stopped))
            else:
                finished, loaded = loaded.experiment.replicates, following
                reopen(run, loaded, is_new_session=False)
                _run_trials(run, loaded, options, resources, deadline, screen, is_warm=True)
    except (Interrupted, KeyboardInterrupt) as why:
        if finished:
            back_to_complete(run, finished)
        stopped = (str(why) or "the budget is spent") if isinstance(why, OutOfTime) else "interrupted"
        screen.print(f"{escape(stopped)}; what is done is kept. To go on:")
        screen.print(f"  [command]{escape(_resume_command(run, options))}[/]", soft_wrap=True)
        if not isinstance(why, OutOfTime):
            return _done(run, 130, {"run": run.id, "folder": str(run.folder), "status": "interrupted"})
    return _finish(run, options, stopped, screen)


def _run_trials(
    run: Run,
    loaded: Loaded,
    options: RunOptions,
    resources: Resources,
    deadline: float | None,
    screen: Console,
    is_warm: bool = False,
) -> None:
    """Run the trials that are left, in the live view; `is_warm`: others have run before."""
    from ..core.run.estimate import seconds_by_point
    from ..core.run.execute import execute
    from ..core.run.folder import newest
    from ..core.run.plan import plan
    from .live_view import LiveView

    before = newest(options.results, loaded.experiment.name, full=run.facts["full"], finished=True)
    trials = plan(loaded)
    already = {
        trial.key: float(result.get("seconds", 0.0)) for trial in trials if (result := run.result(trial))
    }
    if 0 < len(already) < len(trials):
        screen.print(f"{len(already)} of {len(trials)} trials are done already")
    left = None if deadline is None else deadline - time.monotonic()
    expected = seconds_by_point(before)
    with LiveView(screen, loaded.experiment, trials, resources.workers, already, expected, is_warm) as view:
        execute(loaded, run, resources, view.on_event, view.on_wait, left)


def _resources(device: str, threads: int, workers: int | None) -> Resources:
    from ..core.run.environment import NoDevice, resources

    try:
        return resources(device, threads, workers)
    except NoDevice as error:
        stop(error)


def _fresh(document: Document, options: RunOptions, resources: Resources) -> tuple[Loaded, str | None]:
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
    params = document.data.get("params")
    if options.threads and isinstance(params, dict) and "threads" in params:
        request = replace(request, sets=(*request.sets, f"threads={','.join(map(str, options.threads))}"))
    elif len(options.threads) > 1:
        stop(
            f"--threads {','.join(map(str, options.threads))}: {document.data.get('name')} has no parameter threads; one number"
        )
    return load_document(document, request), request.preset


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


def _print_trials(
    loaded: Loaded, run: Run | None, options: RunOptions, screen: Console
) -> list[dict[str, Any]]:
    """Print the plan of a dry run; the same for --json."""
    from ..core.run.plan import plan

    trials = plan(loaded)
    done = {trial.key for trial in trials if run is not None and run.result(trial)}
    words = {"check": "check", "peaks": "measure the machine", "time": "time all variants", "train": "train"}
    rows = []
    for index, trial in enumerate(trials, 1):
        what = f"{words[trial.kind]} {trial}" if trial.kind != "peaks" else words["peaks"]
        replicate = str(trial.replicate + 1) if trial.kind in ("time", "train") else ""
        rows.append([str(index), escape(what), replicate, "done" if trial.key in done else ""])
    if not options.json:
        screen.print(table([">#", "trial", ">replicate", ""], rows, shorten=1))
        screen.print(f"{len(trials)} trials, nothing run (--dry-run)")
    keys = ("kind", "variant", "point", "replicate", "key")
    return [{key: getattr(trial, key) for key in keys} | {"done": trial.key in done} for trial in trials]


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


def _finish(run: Run, options: RunOptions, stopped: str, screen: Console) -> Done:
    from ..core.analysis.verdicts import tally
    from .last_screen import print_last_screen
    from .run_results import exit_code, results_of, summary_data

    with waiting(screen, "judging and drawing …"):
        results = results_of(run)
    run.update(result=tally(results.verdicts))
    print_last_screen(results, screen)
    data = summary_data(results) | ({"until": stopped} if stopped else {})
    return _done(run, exit_code(results, options.fail_on), data)


def _done(run: Run, code: int, data: dict[str, Any]) -> Done:
    facts = run.facts
    return Done(code, data, facts["status"], run.id, float(facts["seconds"]), facts.get("result") or "")


def _resume_command(run: Run, options: RunOptions) -> str:
    words = ["lab", "run", run.facts["experiment"], "--resume", run.id]
    request = options.request
    grows = [
        (f"--{noun}", getattr(request, noun)) for noun in ("repeats", "seeds") if options.resume is not None
    ]
    words += [str(part) for flag, count in grows if count for part in (flag, count)]
    words += ["--until", "settled"] if options.until else []
    return shlex.join([*words, *results_words(options.results)])
