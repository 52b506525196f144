"""`lab run`: its options; `perform.py` runs the experiment."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.experiment.document import read
from .experiment_file import path_of
from .options import RESULTS, Json, ResultsFolder
from .perform import perform, print_question
from .run_options import RunOptions
from .screen import people, stop

Name = Annotated[str, typer.Argument(help="Name of an experiment, or a file: softmax, ./mine.yaml")]


def run(
    name: Name,
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
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each trial; 1 unless said")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side; timing is always alone")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish the newest unfinished run of this name")
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="With --resume: do again what failed or took too long, not only what the machine ended",
        ),
    ] = False,
    label: Annotated[str, typer.Option(help="A word of your own, shown by lab runs")] = "",
    results: ResultsFolder = RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop")] = False,
    json: Json = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 3 when a claim fails, a variant is wrong or a claim is unclear: "
            "fails, wrong, unclear"
        ),
    ] = None,
) -> None:
    """Run an experiment: check, measure, judge.

    lab run softmax --quick · lab run softmax --add mine=./mine.py:softmax
    """
    if device not in ("auto", "cpu", "cuda"):
        stop(f"--device {device}: auto, cpu or cuda")
    if retry_failed and not resume:
        stop("--retry-failed goes with --resume: it does trials of an earlier run again")
    if quick and preset not in (None, "quick"):
        stop(f"--quick is --preset quick; here is --preset {preset} as well")
    for word in fail_on or ():
        if word not in ("fails", "wrong", "unclear"):
            stop(f"--fail-on {word}: fails, wrong or unclear")
    screen = people(json)
    # The first lines need nothing but the file: they stand there while everything else is being loaded.
    document = read(path_of(name))
    print_question(document, screen)

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
        threads=threads,
        workers=workers,
        resume=resume,
        retry_failed=retry_failed,
        label=label,
        results=results,
        dry_run=dry_run,
        json=json,
        fail_on=frozenset(fail_on or ()),
    )
    raise typer.Exit(perform(document, options, screen))
