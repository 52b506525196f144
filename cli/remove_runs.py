"""`lab runs rm`: removes runs, after asking."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .options import RESULTS, Json, ResultsFolder
from .runs_to_show import only_one
from .screen import Stopped, err, people, print_json, stop, table, waiting
from .time_spans import seconds_of

if TYPE_CHECKING:
    from ..core.run.folder import Run


def remove_runs(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Runs, by their letters")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="All that began longer ago: 30d, 12h")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="All that did not finish; with --older-than those of them")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    results: ResultsFolder = RESULTS,
    json: Json = False,
) -> None:
    """Remove runs, after asking: lab runs rm djfg · lab runs rm --partial --older-than 30d

    One that is being written is kept, and nothing outside of the results folder is touched.
    """
    from ..core.run.removal import remove

    if bool(ids) == (partial or older_than is not None):
        stop("which runs? Their letters (lab runs shows them), or --older-than TIME, or --partial")
    chosen = _called(ids, results) if ids else _all_that(partial, older_than, results)
    screen = people(json)
    if not chosen:
        screen.print("no such run: nothing to remove")
    elif not yes:
        _ask(chosen, json)
    removed, kept = [], {}
    for run in chosen:
        try:
            with waiting(err(), f"removing {run.id} …"):
                why = remove(run, results, only_partial=partial)
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
        if why is None:
            removed.append(run.id)
        else:
            kept[run.id] = why
            err().print(f"{run.id} of {run.folder.parent.name} is kept: {why}", markup=False, soft_wrap=True)
    if json:
        print_json({"removed": removed, "kept": kept})
    elif removed:
        screen.print(f"removed: {', '.join(removed)}")
    raise typer.Exit(1 if kept else 0)


def _called(ids: list[str], results: Path) -> list[Run]:
    """The runs of these letters (or of a folder's whole name), each of which has to be one."""
    from ..core.run.removal import removable

    runs = list(removable(results))
    found = [only_one(letters, runs, f" in {results}/") for letters in ids]
    return list({run.folder: run for run in found}.values())


def _all_that(partial: bool, older_than: str | None, results: Path) -> list[Run]:
    from ..core.run.removal import age, is_partial, removable

    least = 0.0 if older_than is None else seconds_of(older_than, "--older-than")
    return [
        run
        for run in removable(results)
        if (older_than is None or age(run) >= least) and (is_partial(run) or not partial)
    ]


def _ask(runs: list[Run], json: bool) -> None:
    """Show what would be removed, and end the command unless somebody agrees."""
    from ..core.run.removal import size

    with waiting(err(), "adding up sizes …"):
        sizes = {run.folder: size(run) for run in runs}
    rows = [
        [run.id, escape(run.folder.parent.name), *_story(run), f"{sizes[run.folder] / 1e6:.1f} MB"]
        for run in runs
    ]
    err().print(table(["run", "experiment", "when", "result", ">size"], rows, shorten=3))
    count = "this run" if len(runs) == 1 else f"these {len(runs)} runs, {sum(sizes.values()) / 1e6:.1f} MB"
    if not sys.stdin.isatty():
        stop(f"nobody to ask whether to remove {count}: --yes removes without asking")
    try:
        agreed = typer.confirm(f"remove {count}?", err=True)
    except typer.Abort:
        raise typer.Exit(130) from None
    if not agreed:
        if json:
            print_json({"removed": [], "kept": {}})
        err().print("nothing removed")
        raise Stopped("nothing removed", 0)


def _story(run: Run) -> tuple[str, str]:
    """When it began and what it came to."""
    from ..core.run.folder import why_unreadable
    from .runs import result_words
    from .screen import ago

    if why := why_unreadable(run):
        return "", escape(why)
    facts = run.facts
    return ago(facts["started"]), escape(result_words(facts))
