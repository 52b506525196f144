"""`lab report`: one page about the newest full run of each experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .screen import people, print_json, stop


def report(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments; all that have a run when left out")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser")] = False,
    results: Annotated[Path, typer.Option("--results", help="Folder that runs are written to")] = Path(
        "results"
    ),
    json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else")
    ] = False,
) -> None:
    """Write results/report.html and report.md: verdicts, plots, tables, and the commands to see it again."""
    from ..core.experiment.discovery import known
    from ..core.experiment.mistakes import nearest
    from ..core.run.folder import newest, runs
    from .screen import err

    there = sorted({run.facts["experiment"] for run in runs(results)})
    for name in names or ():
        if name not in there:
            make = f" To make one: lab run {name}" if name in known() else nearest(name, {*there, *known()})
            stop(f"no run of {name} in {results}/.{make}")
    if not there:
        stop(f"no run in {results}/ yet; to make one: lab run flash-attn")
    screen = people(json)
    chosen = []
    for name in names or there:
        run = (
            newest(results, name, full=True, finished=True)
            or newest(results, name, finished=True)
            or newest(results, name)
        )
        if run is not None:
            chosen.append(run)
            if not run.is_finished:
                err().print(f"run {run.id} of {name} is not finished; the report shows what is done")
    with err().status("judging and drawing …"):
        from ..core.report.page import Page, write_report
        from ..core.report.plot import plot_names
        from .judging import results_of

        pages = []
        for run in chosen:
            seen = results_of(run)
            pages.append(
                Page(
                    experiment=seen.experiment,
                    run=seen.facts,
                    environment=seen.environment,
                    comparison=seen.comparison,
                    verdicts=list(seen.verdicts),
                    summary=seen.summary,
                    plots=[run.folder / "plots" / f"{name}.svg" for name in plot_names(seen.experiment)],
                    warnings=list(seen.warnings),
                    samples=seen.samples,
                    cuts=seen.cuts,
                )
            )
        html, markdown = write_report(pages, results)
    if json:
        print_json({"html": str(html), "markdown": str(markdown), "runs": [run.id for run in chosen]})
    over = ", ".join(f"{run.facts['experiment']} (run {run.id})" for run in chosen)
    screen.print(f"{html} and {markdown.name}, over {over}", soft_wrap=True)
    if open_:
        import webbrowser

        webbrowser.open(html.resolve().as_uri())
