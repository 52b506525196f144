"""`lab report`: one page about the newest full run of each experiment, of some, or of the runs that are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from .options import RESULTS, Json, ResultsFolder
from .runs_to_show import only_one
from .screen import err, people, print_json, stop, waiting

if TYPE_CHECKING:
    from ..core.run.folder import Run
    from ..core.run.results import Results

SUFFIXES = (".html", ".md")
LONGEST = 120  # characters of a file's name that we make from names of experiments


def report(
    names: Annotated[
        list[str] | None, typer.Argument(help="Experiments; all that have a run when left out")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", help="This run, by its letters, instead of the newest full one; may be repeated"
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser")] = False,
    results: ResultsFolder = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write this file, FILE.html (all in one) or FILE.md (plots beside it), or both into this folder; and "
            "nothing into the results"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write results/report.html and report.md, for some experiments report-NAME.html: verdicts, plots, tables, and the commands to see it again."""
    from ..core.run.folder import unreadable

    if out is not None and not out.is_dir() and out.suffix not in SUFFIXES:
        stop(f"--out {out}: a file that ends in {' or '.join(SUFFIXES)}, or a folder that is there")
    for line in unreadable(results):
        err().print(line, markup=False, soft_wrap=True)
    wanted = [[_run_called(one, names, results)] for one in run] if run else _of_experiments(names, results)
    reported = [found for candidates in wanted if (found := _readable_results(candidates)) is not None]
    if not reported:
        stop("nothing is left to report", code=1)
    files = _files(reported, names, run, results, out)
    try:
        _write(reported, files, is_elsewhere=out is not None)
    except OSError as error:
        stop(
            f"{files[0].parent}/ cannot be written: {error.strerror}. Choose another place: --out FILE.html",
            code=1,
        )
    for one in reported:
        if one.facts["status"] != "finished":
            err().print(
                f"run {one.run.id} of {one.experiment.name} is not finished; the report shows what is done"
            )
    if json:
        written = {"html": None, "markdown": None} | {
            {".html": "html", ".md": "markdown"}[file.suffix]: str(file) for file in files
        }
        print_json(written | {"runs": [one.run.id for one in reported]})
    over = ", ".join(f"{one.experiment.name} (run {one.run.id})" for one in reported)
    said = " and ".join([str(files[0]), *(file.name for file in files[1:])])
    people(json).print(f"{said}, over {over}", soft_wrap=True, markup=False)
    if open_:
        import webbrowser

        webbrowser.open(files[0].resolve().as_uri())


def _of_experiments(names: Sequence[str] | None, results: Path) -> list[list[Run]]:
    """For each experiment its runs, the one to report first; ends the command where one has none."""
    from ..core.experiment.discovery import experiment_files
    from ..core.run.folder import ranked, runs
    from ..core.suggest import nearest

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
    return [ranked(results, name) for name in dict.fromkeys(names or there)]


def _run_called(letters: str, names: Sequence[str] | None, results: Path) -> Run:
    """The run known by these letters or by its folder's name; ends the command where there is none, or several."""
    from ..core.run.folder import runs

    there = [run for run in runs(results) if not names or run.facts["experiment"] in names]
    return only_one(letters, there, f" in {results}/")


def _files(
    reported: Sequence[Results],
    names: Sequence[str] | None,
    run: Sequence[str] | None,
    results: Path,
    out: Path | None,
) -> list[Path]:
    """What to write. The page over all is overwritten by no page over a part."""
    if out is not None and not out.is_dir():
        return [out]
    parts = [f"{one.experiment.name}-{one.run.id}" if run else one.experiment.name for one in reported]
    stem = "-".join(["report", *(parts if names or run else ())])
    if len(stem) > LONGEST:
        stop("too many names for the name of a file; choose one: --out FILE.html")
    return [(out or results) / f"{stem}{suffix}" for suffix in SUFFIXES]


def _readable_results(candidates: list[Run]) -> Results | None:
    """The results of the first run that can be read; None where none can. Names each run that cannot."""
    from ..core.run.files import Damaged

    with waiting(err(), f"judging {candidates[0].folder.parent.name} …"):
        from .run_results import first_readable, print_passed_over

        try:
            return first_readable(candidates)
        except Damaged as damaged:
            print_passed_over(candidates[-1], damaged)
            return None


def _write(reported: Sequence[Results], files: Sequence[Path], is_elsewhere: bool) -> None:
    """Write the report over these runs; with `is_elsewhere` nothing is written into their own folders.

    Raises:
        OSError: a folder cannot be written.
    """
    from ..core.report.page import write_pages
    from ..core.run.results import write_tables
    from .run_results import page_of, plots_of

    pages = []
    markdown = next((file for file in files if file.suffix == ".md"), None)
    with TemporaryDirectory() as nowhere:
        for number, one in enumerate(reported, 1):
            name, own = one.experiment.name, one.run.folder / "plots"
            beside = markdown.with_name(f"{markdown.stem}-plots") if markdown else Path(nowhere)
            with waiting(err(), f"drawing {name}, {number} of {len(reported)} …"):
                if not is_elsewhere:
                    write_tables(one)
                folder = beside / f"{name}-{one.run.id}" if is_elsewhere else own
                pages.append(page_of(one, plots_of(one, folder, drawn_before=own)))
        with waiting(err(), "writing …"):
            write_pages(pages, *files)
