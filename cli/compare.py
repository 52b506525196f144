"""`lab compare`: the figures of a run, variant by variant, and the verdicts with their reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ..core.experiment.document import read
from ..core.safe_text import csv_of
from .compare_runs import print_two_runs, run_called, share_of
from .experiment_file import path_of
from .options import RESULTS, ResultsFolder
from .perform import perform
from .run_options import RunOptions
from .screen import ago, err, out, print_json, stop, write
from .text_tables import latex, markdown

if TYPE_CHECKING:
    import pandas as pd

    from ..core.run.folder import Run
    from ..core.run.results import Results

FORMATS = ("table", "markdown", "csv", "latex", "json")


def compare(
    name: Annotated[str, typer.Argument(help="Name of an experiment")],
    runs: Annotated[
        tuple[str, str] | None, typer.Option(help="What changed from one run to another, by their letters")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="This run, by its letters, instead of the newest full one")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric")] = None,
    rows: Annotated[
        str | None, typer.Option(help="The axis whose values are shown; others stay at their largest")
    ] = None,
    all_rows: Annotated[bool, typer.Option("--all", help="Every row, not only what changed")] = False,
    fail_if_worse: Annotated[
        str | None,
        typer.Option(help="With --runs: exit 3 if a figure is worse by more than this share, such as 5%"),
    ] = None,
    format: Annotated[str, typer.Option(help="table, markdown, csv, latex or json")] = "table",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json")] = False,
    results: ResultsFolder = RESULTS,
) -> None:
    """What the newest full run saw: each variant beside its tier's first, then the claims."""
    if format not in FORMATS:
        stop(f"--format {format}: {', '.join(FORMATS)}")
    format = "json" if json else format
    if runs is not None:
        limit = None if fail_if_worse is None else share_of(fail_if_worse)
        raise typer.Exit(
            print_two_runs(name, runs, results, format, metric=metric, all_rows=all_rows, fail_if_worse=limit)
        )
    if fail_if_worse is not None:
        stop("--fail-if-worse compares two runs: --runs BEFORE AFTER")
    from .run_results import first_readable

    judged = first_readable(_runs_to_show(name, results) if run is None else [run_called(name, run, results)])
    comparison = _only(judged, metric, rows)
    if format == "json":
        _print_json(judged, comparison)
    elif format == "table":
        _print_tables(judged, comparison, out())
    else:
        _print_text(judged, comparison, format)


def _runs_to_show(name: str, results: Path) -> list[Run]:
    """The newest full run, else the newest quick one, and those after it; where there is none, a quick one is made."""
    from ..core.experiment.overview import NAME
    from ..core.experiment.shape import shaped
    from ..core.run.folder import newest, ranked, unreadable

    has_runs = NAME.fullmatch(name) is not None and (results / name).is_dir()
    document = None if has_runs else read(path_of(name))
    title = name if document is None else shaped(document).name
    for line in unreadable(results, title):
        err().print(line, markup=False, soft_wrap=True)
    found = ranked(results, title)
    finished = [run for run in found if run.is_finished]
    if finished:
        return finished
    if found and found[0].results():
        err().print(
            f"no finished run of {title}; this is {found[0].id}, unfinished: lab run {title} --resume"
        )
        return found
    document = document or read(path_of(name))
    from ..core.experiment.request import Request

    has_quick = "quick" in shaped(document).presets
    what = "making a quick one" if has_quick else "making one"
    err().print(f"no run of {title} yet, {what}; the full one: lab run {title}\n")
    done = perform(
        document, RunOptions(request=Request(preset="quick" if has_quick else None), results=results), err()
    )
    run = newest(results, title, finished=True)
    if run is None:
        raise typer.Exit(done.code)
    return [run]


def _only(judged: Results, metric: str | None, rows: str | None) -> pd.DataFrame:
    """The rows of the comparison that --metric and --rows name."""
    from ..core.suggest import nearest
    from .last_screen import largest

    experiment, table = judged.experiment, judged.comparison
    if metric is not None:
        if metric not in experiment.metrics:
            stop(f"--metric {metric}: no such metric.{nearest(metric, experiment.metrics)}")
        table = table[table["metric"] == metric]
    keys = experiment.point_keys
    if rows is not None and rows not in keys:
        stop(f"--rows {rows}: no such axis.{nearest(rows, keys)}")
    if rows is None:  # the timed grid; what was only checked is seen with --rows
        for key in keys:
            if key not in experiment.axes:
                table = table[table[key] == experiment.params[key]]
        return table
    point = largest(experiment)
    if rows not in experiment.axes:  # its grid in `checks`: the other keys stay where they were checked
        grid = next(grid for grid in experiment.checks if rows in grid)
        point |= {axis: values[0] for axis, values in experiment.axes.items()}
        point |= {key: values[-1] for key, values in grid.items()}
    for key in keys:
        if key != rows:
            table = table[table[key] == point[key]]
    return table


def _points(judged: Results, table: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each point."""
    keys = judged.experiment.point_keys
    if not keys:
        return [({}, table)]
    return [
        (dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True)), rows)
        for values, rows in table.groupby(keys, sort=False)
    ]


def _print_tables(judged: Results, comparison: pd.DataFrame, screen: Console) -> None:
    from .tables import BAD, COMPARED, claims_grid, comparison_grid, has_rows, legend, point_label, states
    from .tables import comparison as tables_of

    experiment, facts = judged.experiment, judged.facts
    preset = f" ({facts['preset']})" if facts["preset"] else ""
    version = f" · version {experiment.version}" if experiment.version > 1 else ""
    screen.print(
        f"[name]{experiment.name}[/] · run {judged.run.id}{preset}, {ago(facts['started'])} · {str(facts['device']).upper()},"
        f" {facts['threads']} thread{'s' if facts['threads'] > 1 else ''} · {_replicates(experiment)}{version}"
    )
    if len(experiment.tiers) > 1 and experiment.repeats is not None:
        screen.print(
            "[quiet]times are compared inside a tier only: a Python loop is no rival of a compiled kernel[/]"
        )
    hidden: list[str] = []
    for point, rows in _points(judged, comparison):
        tables = [made for made in tables_of(experiment, rows) if has_rows(made)]
        if not tables:  # all refused: the reasons stand below
            continue
        screen.print()
        if words := point_label(experiment, point):
            screen.print(f"[name]{escape(words)}[/]")
        for made in tables:
            grid, left_out = comparison_grid(made, screen)
            hidden += [name for name in left_out if name not in hidden]
            screen.print(grid)
    screen.print()
    compared = "speed: times as fast as the first of its tier, paired by process"
    if experiment.seeds is not None:
        first = experiment.baseline if len(experiment.tiers) == 1 else "the first of its tier"
        compared = f"change: minus {first}, paired by seed"
    screen.print(f"[quiet]{compared}, 95% interval · ~ no difference seen · bold: best of its tier[/]")
    if hidden:
        metrics = [name for name in hidden if name not in COMPARED] or hidden
        screen.print(
            f"[quiet]too wide for this terminal: {escape(', '.join(metrics))}; see one with --metric, all in lab report[/]"
        )
    for line in states(judged, (*BAD, "refused")):
        screen.print(escape(line), soft_wrap=True)
    _print_control(judged, screen)
    for warning in judged.warnings:
        screen.print(f"[open]note: {escape(warning)}[/]", soft_wrap=True)
    if not judged.verdicts:
        return
    screen.print()
    screen.print(claims_grid(judged.verdicts, experiment))
    screen.print(f"[quiet]{legend(judged.verdicts)}[/]")
    _print_reasons(judged, screen)
    screen.print(
        f"all plots: {judged.run.folder / 'plots'}/ · as text: --format markdown|latex|csv|json",
        style="quiet",
    )


def _replicates(experiment: Any) -> str:
    if experiment.repeats is not None:
        return f"{experiment.repeats} processes a point"
    return f"{experiment.seeds} seeds"


def _print_control(judged: Results, screen: Console) -> None:
    from ..core.analysis import digits

    found: dict[str, list[str]] = {}
    for row in judged.control.to_dict("records"):
        shown = digits.format(row["ratio"], row["low"], row["high"], kind="ratio")
        found.setdefault(row["variant"], []).append(shown + (" off!" if row["off"] else ""))
    for variant, ratios in found.items():
        line = f"A/A control, {variant} against itself: {', '.join(ratios)}"
        screen.print(f"[quiet]{escape(line)}[/]", soft_wrap=True)


def _print_reasons(judged: Results, screen: Console) -> None:
    """Print for each claim its source, who set the threshold, what would settle it, and how the setting differs."""
    from ..core.analysis.verdicts import by_chance

    screen.print()
    for verdict in judged.verdicts:
        bounds = {
            "ours": "threshold ours",
            "paper": "threshold the paper's",
            "arithmetic": "threshold by arithmetic",
        }
        parts = [
            verdict.source,
            f"expected {verdict.expected} ({bounds[verdict.threshold]})",
            verdict.detail,
            verdict.note,
        ]
        if verdict.differences:
            parts.append("differs: " + "; ".join(verdict.differences))
        screen.print(
            f"[name]{escape(verdict.claim)}[/] [quiet]{escape(' · '.join(p for p in parts if p))}[/]",
            soft_wrap=True,
        )
    if said := by_chance(judged.verdicts):
        screen.print(f"[quiet]{said}[/]")


def _print_json(judged: Results, comparison: pd.DataFrame) -> None:
    from .run_results import records, summary_data

    print_json(summary_data(judged) | {"comparison": records(comparison), "control": records(judged.control)})


def _print_text(judged: Results, comparison: pd.DataFrame, format: str) -> None:
    """Markdown and LaTeX hold the same cells as the screen; CSV holds the numbers."""
    if format == "csv":
        write(csv_of(comparison))
        return
    from .tables import comparison as tables_of
    from .tables import plain_rows, point_label

    written = markdown if format == "markdown" else latex
    for point, rows in _points(judged, comparison):
        for made in tables_of(judged.experiment, rows):
            names, cells = plain_rows(made)
            right = [False, False, *[True] * (len(names) - 2)]
            write(written(point_label(judged.experiment, point), names, right, cells))
    if format == "markdown":
        from .tables import paper

        claims = [
            [v.letter, v.says, paper(v, judged.experiment), v.here or "-", v.word, v.source]
            for v in judged.verdicts
        ]
        names = ["", "claim", "paper", "here", "verdict", "source"]
        write(markdown("claims", names, [False] * 6, claims))
