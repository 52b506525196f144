"""`lab report`: one page about the newest full run of each experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import RESULTS, Json, ResultsFolder
from .screen import err, people, print_json, stop

if TYPE_CHECKING:
    from ..core.run.folder import Run
    from ..core.run.results import Results


def report(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments; all that have a run when left out")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser")] = False,
    results: ResultsFolder = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Write this HTML file, its .md and its plots, and nothing into the results folder"),
    ] = None,
    json: Json = False,
) -> None:
    """Write results/report.html and report.md: verdicts, plots, tables, and the commands to see it again."""
    from ..core.experiment.discovery import experiment_files
    from ..core.run.folder import ranked, runs, unreadable
    from ..core.suggest import nearest

    for line in unreadable(results):
        err().print(line, markup=False, soft_wrap=True)
    there = sorted({run.facts["experiment"] for run in runs(results)})
    for name in names or ():
        if name not in there:
            make = (
                f" To make one: lab run {name}"
                if name in experiment_files()
                else nearest(name, {*there, *experiment_files()})
            )
            stop(f"no run of {name} in {results}/.{make}")
    if not there:
        stop(f"no run in {results}/ yet; to make one: lab run flash-attn")
    if out is not None and out.is_dir():
        out = out / "report.html"
    with err().status("judging and drawing …"):
        reported = [
            found
            for name in names or there
            if (found := _readable_results(ranked(results, name))) is not None
        ]
        if not reported:
            stop("nothing is left to report", code=1)
        try:
            html, markdown = _write(reported, out or results / "report.html", is_elsewhere=out is not None)
        except OSError as error:
            folder = out.parent if out is not None else results
            stop(
                f"{folder}/ cannot be written: {error.strerror}. Choose another place: --out FILE.html",
                code=1,
            )
    for one in reported:
        if one.facts["status"] != "finished":
            err().print(
                f"run {one.run.id} of {one.experiment.name} is not finished; the report shows what is done"
            )
    if json:
        print_json({"html": str(html), "markdown": str(markdown), "runs": [one.run.id for one in reported]})
    over = ", ".join(f"{one.experiment.name} (run {one.run.id})" for one in reported)
    people(json).print(f"{html} and {markdown.name}, over {over}", soft_wrap=True, markup=False)
    if open_:
        import webbrowser

        webbrowser.open(html.resolve().as_uri())


def _readable_results(candidates: list[Run]) -> Results | None:
    """The results of the first run that can be read; None where none can. Names each run that cannot."""
    from ..core.run.files import Damaged
    from .run_results import first_readable, print_passed_over

    try:
        return first_readable(candidates)
    except Damaged as damaged:
        print_passed_over(candidates[-1], damaged)
        return None


def _write(reported: list[Results], html: Path, is_elsewhere: bool) -> tuple[Path, Path]:
    """Write the report over these runs; with `is_elsewhere` nothing is written into their own folders.

    Raises:
        OSError: a folder cannot be written.
    """
    from ..core.report.page import write_report
    from ..core.run.results import write_tables
    from .run_results import page_of, plots_of

    pages = []
    for one in reported:
        if not is_elsewhere:
            write_tables(one)
        folder = (
            html.with_name(f"{html.stem}-plots") / one.experiment.name
            if is_elsewhere
            else one.run.folder / "plots"
        )
        pages.append(page_of(one, plots_of(one, folder)))
    return write_report(pages, html.parent, html.stem)
