"""`lab run`: its options; `perform.py` runs the experiment."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ..core.experiment.discovery import experiment_files
from ..core.experiment.document import read
from .experiment_file import path_of
from .options import RESULTS, Json, ResultsFolder
from .perform import Done, perform, print_question
from .run_options import RunOptions
from .screen import people, print_json, stop
from .several import run_several
from .time_spans import seconds_of

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names of experiments, or files: softmax, ./mine.yaml", metavar="NAME..."),
]


def run(
    names: Names = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every experiment of `lab list`, one after another")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller and sooner; the same as --preset quick")
    ] = False,
    preset: Annotated[str | None, typer.Option(help="A preset of the file")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--set",
            metavar="KEY=VALUE",
            help="Change a parameter or an axis: -s dtype=float64. Several values make an axis of any parameter: "
            "-s columns=1000,4000. In one variant: -s online.dtype=float64; a new variant: "
            "-s variants.half.implementation=online -s variants.half.dtype=float16. "
            "What there is to set: lab params NAME",
        ),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE.py:FUNCTION", help="Put a function of yours beside ours"),
    ] = None,
    direction: Annotated[
        str | None, typer.Option("--pass", help="fwd or fwd+bwd, where an experiment has both")
    ] = None,
    variants: Annotated[
        str | None, typer.Option(help="Only these, separated by commas; the baseline always runs")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds per variant (training)")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Processes per point (timing)")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N…]", help="Threads of each trial; 1 unless said. Several: an axis of softmax"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side; timing is always alone")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[ID]",
            help="Go on with this run, known by its four letters; without them with the newest full one that is unfinished. "
            "With --repeats or --seeds a finished one grows",
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="With --resume: do again what failed or took too long, not only what the machine ended",
        ),
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="settled",
            help="Add replicates from look to look until each claim is settled; how often a verdict is false stays the same",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --until, for each experiment: 90s, 20m, 1h")
    ] = None,
    label: Annotated[str, typer.Option(help="A word of your own, shown by lab runs")] = "",
    results: ResultsFolder = RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop")] = False,
    json: Json = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 3 when a claim fails, a variant is wrong, or a claim is unclear or not trained enough: "
            "fails, wrong, unclear, untrained"
        ),
    ] = None,
) -> None:
    """Run experiments: check, measure, judge.

    lab run softmax --quick · lab run softmax --add mine=./mine.py:softmax · lab run softmax kd --until settled
    """
    if device not in ("auto", "cpu", "cuda"):
        stop(f"--device {device}: auto, cpu or cuda")
    if retry_failed and resume is None:
        stop("--retry-failed goes with --resume: it does trials of an earlier run again")
    if quick and preset not in (None, "quick"):
        stop(f"--quick is --preset quick; here is --preset {preset} as well")
    for word in fail_on or ():
        if word not in ("fails", "wrong", "unclear", "untrained"):
            stop(f"--fail-on {word}: fails, wrong, unclear or untrained")
    if not names and resume and resume in experiment_files():
        names, resume = [resume], ""  # an experiment whose name could be a run's letters
    if until not in (None, "settled"):
        stop(f"--until {until}: settled")
    if budget is not None and until is None:
        stop("--budget goes with --until settled: it ends the adding of replicates")

    from ..core.experiment.request import Request

    request = Request(
        preset="quick" if quick else preset,
        sets=tuple(set_ or ()),
        add=tuple(add or ()),
        direction=direction,
        variants=tuple(part.strip() for part in (variants or "").split(",") if part.strip()),
        repeats=repeats,
        seeds=seeds,
    )
    options = RunOptions(
        request=request,
        device=device,
        threads=_numbers_of_threads(threads),
        workers=workers,
        resume=resume,
        retry_failed=retry_failed,
        until=until is not None,
        budget=None if budget is None else seconds_of(budget, "--budget"),
        label=label,
        results=results,
        dry_run=dry_run,
        json=json,
        fail_on=frozenset(fail_on or ()),
    )
    screen = people(json)
    wanted = _wanted(names or [], all_, options)
    if len(wanted) == 1 and not all_:
        done = run_one(wanted[0], options, screen)
        if json:
            print_json(done.data)
        raise typer.Exit(done.code)
    raise typer.Exit(run_several(wanted, options, screen, run_one))


def _numbers_of_threads(text: str | None) -> tuple[int, ...]:
    """`1,2` as numbers."""
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        stop(f"--threads {text}: a number from 1 on, or several with commas: 1,2")
    return tuple(int(part) for part in parts)


def _wanted(names: list[str], all_: bool, options: RunOptions) -> list[str]:
    """The experiments to run; what only one can have is refused for several."""
    if all_ and names:
        stop(f"--all runs every experiment; here is {names[0]} as well")
    if all_:
        names = list(experiment_files())
    if not names and options.resume:
        return [""]  # a run's letters say whose it is
    if not names:
        stop("which experiment? lab run NAME, or lab run --all; what there is: lab list")
    if len(names) == 1:
        return names
    request = options.request
    given = {
        "-s": request.sets, "--add": request.add, "--pass": request.direction, "--variants": request.variants,
        "--resume ID": options.resume,
    }  # fmt: skip
    for option, value in given.items():
        if value:
            stop(f"{option} is for one experiment; here are {len(names)}")
    return names


def run_one(name: str, options: RunOptions, screen: Console) -> Done:
    """Run one experiment, or go on with a run of it; without a name the run that --resume names."""
    if options.resume is None:
        document = read(path_of(name))
        # The first lines need nothing but the file: they stand there while everything else is being loaded.
        print_question(document, screen)
        return perform(document, options, screen)

    from ..core.run.opening import release
    from .resume import print_resumed, run_to_resume

    found = run_to_resume(name or None, options)
    try:
        document = read(found.folder / "experiment.yaml")
        print_question(document, screen)
        print_resumed(found, options, screen)
        return perform(document, options, screen, found)
    finally:
        release(found)
