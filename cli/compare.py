"""`lab compare`: a run that was, on one screen; its tables, point by point, and its claims where they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from ..core.safe_text import csv_of
from ..core.suggest import nearest
from .claim_lines import claims_grid, in_order, legend, no_interval, paper
from .compare_runs import print_two_runs, share_of
from .headline import largest
from .hints import command
from .last_screen import lines_of, print_one_screen
from .options import RESULTS, ResultsFolder
from .pager import paged
from .runs_to_show import run_called, runs_to_show
from .screen import ago, out, print_json, stop, write
from .tables import BAD, comparison_grid, has_rows, metric_called, plain_rows, point_label, states
from .tables import comparison as tables_of
from .text_tables import latex, markdown

if TYPE_CHECKING:
    import pandas as pd

    from ..core.experiment.schema import Experiment
    from ..core.run.results import Results

FORMATS = ("table", "markdown", "csv", "latex", "json")


@dataclass(frozen=True)
class Part:
    """The part of a comparison that was asked for."""

    metric: str | None
    rows: str | None
    at: tuple[str, ...]
    variants: tuple[str, ...]

    @property
    def is_all(self) -> bool:
        return not (self.metric or self.rows or self.at or self.variants)


def compare(
    name: Annotated[str, typer.Argument(help="Name of an experiment")],
    runs: Annotated[
        tuple[str, str] | None, typer.Option(help="What changed from one run to another, by their letters")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="This run, by its letters, instead of the newest full one")
    ] = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all", help="Every variant at every point, and all claims; with --runs all that was compared"
        ),
    ] = False,
    claims: Annotated[bool, typer.Option("--claims", help="All claims, each with what it says")] = False,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="Every variant at this point: --at columns=4000"),
    ] = None,
    variants: Annotated[str | None, typer.Option(help="Only these, separated by commas")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric, by its name or heading")] = None,
    rows: Annotated[
        str | None, typer.Option(help="The axis whose values are shown; others stay at their largest")
    ] = None,
    fail_if_worse: Annotated[
        str | None,
        typer.Option(help="With --runs: exit 3 if a figure is worse by more than this share, such as 5%"),
    ] = None,
    format: Annotated[str, typer.Option(help="table, markdown, csv, latex or json")] = "table",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json")] = False,
    results: ResultsFolder = RESULTS,
) -> None:
    """What the newest full run saw, on one screen: each variant beside its tier's first, then the claims.

    lab compare softmax · lab compare softmax --at columns=4000 · lab compare softmax --all
    """
    if format not in FORMATS:
        stop(f"--format {format}: {', '.join(FORMATS)}")
    format = "json" if json else format
    if runs is not None:
        for flag, given in {
            "--run": run,
            "--claims": claims,
            "--at": at,
            "--variants": variants,
            "--rows": rows,
        }.items():
            if given:
                stop(f"{flag} is for one run; --runs compares two")
        limit = None if fail_if_worse is None else share_of(fail_if_worse)
        raise typer.Exit(
            print_two_runs(name, runs, results, format, metric=metric, all_rows=all_, fail_if_worse=limit)
        )
    if fail_if_worse is not None:
        stop("--fail-if-worse compares two runs: --runs BEFORE AFTER")
    from .run_results import first_readable

    judged = first_readable([run_called(name, run, results)] if run else runs_to_show(name, results))
    part = Part(metric, rows, tuple(at or ()), _split(variants))
    comparison = _part_of(judged, part)
    if format == "json":
        _print_json(judged, comparison)
    elif format != "table":
        _print_text(judged, comparison, format)
    elif part.is_all and not (all_ or claims):
        print_one_screen(judged, out())
    else:
        with paged(out()) as screen:
            if not claims or all_ or not part.is_all:
                _print_tables(judged, comparison, screen, is_whole=all_ and part.is_all)
            if claims or all_:
                _print_claims(judged, screen)


def _split(names: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (names or "").split(",") if part.strip())


def _part_of(judged: Results, part: Part) -> pd.DataFrame:
    """The rows of the comparison that are asked for: all of the timed grid, where nothing is."""
    experiment, table = judged.experiment, judged.comparison
    keys = experiment.point_keys
    if part.metric is not None:
        table = table[table["metric"] == metric_called(part.metric, experiment)]
    for name in part.variants:
        if name not in experiment.variants:
            stop(f"--variants {name}: no such variant.{nearest(name, experiment.variants)}")
    if part.variants:
        table = table[table["variant"].isin(part.variants)]
    if part.rows is not None and part.rows not in keys:
        stop(f"--rows {part.rows}: no such axis.{nearest(part.rows, keys)}")
    fixed = _point(judged, part.at)
    if part.rows is not None:
        fixed = _one_row_an_axis(experiment, part.rows) | fixed
    else:  # the timed grid; what was only checked is seen with --rows or --at
        fixed = {key: experiment.params[key] for key in keys if key not in experiment.axes} | fixed
    for key, value in fixed.items():
        table = table[table[key] == value]
    return table


def _one_row_an_axis(experiment: Experiment, axis: str) -> dict[str, Any]:
    """Where the other axes stay, when one of them has a row for each value."""
    point = largest(experiment)
    if axis not in experiment.axes:  # its grid in `checks`: the other keys stay where they were checked
        grid = next(grid for grid in experiment.checks if axis in grid)
        point |= {key: values[0] for key, values in experiment.axes.items()}
        point |= {key: values[-1] for key, values in grid.items()}
    return {key: value for key, value in point.items() if key != axis}


def _point(judged: Results, at: Iterable[str]) -> dict[str, Any]:
    """`columns=4000` as the value that the run has."""
    point = {}
    for word in at:
        key, _, text = word.partition("=")
        keys = judged.experiment.point_keys
        if key not in keys:
            stop(f"--at {word}: no axis {key}.{nearest(key, keys)}")
        values = {str(value): value for value in judged.comparison[key].unique().tolist()}
        named = {value_word: value for shown, value in values.items() for value_word in _ways(shown)}
        if text.replace(",", "").lower() not in named:
            stop(f"--at {word}: this run has {key}={', '.join(values)}")
        point[key] = named[text.replace(",", "").lower()]
    return point


def _ways(shown: str) -> tuple[str, ...]:
    """How a value may be written: `True` is also true and yes."""
    words = {"True": ("true", "yes"), "False": ("false", "no")}
    return (shown.lower(), *words.get(shown, ()))


def _points(judged: Results, table: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each point."""
    keys = judged.experiment.point_keys
    if not keys:
        return [({}, table)]
    return [
        (dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True)), rows)
        for values, rows in table.groupby(keys, sort=False)
    ]


def _print_tables(judged: Results, comparison: pd.DataFrame, screen: Console, *, is_whole: bool) -> None:
    experiment, facts = judged.experiment, judged.facts
    preset = f" ({facts['preset']})" if facts["preset"] else ""
    version = f" · version {experiment.version}" if experiment.version > 1 else ""
    screen.print(
        f"[name]{experiment.name}[/] · run {judged.run.id}{escape(preset)}, {ago(facts['started'])}"
        f" · {str(facts['device']).upper()}, {facts['threads']} thread{'s' if facts['threads'] > 1 else ''}"
        f" · {_replicates(experiment)}{version}"
    )
    if is_whole and judged.summary:
        screen.print(f"\n{escape(judged.summary)}")
    if len(experiment.tiers) > 1 and experiment.repeats is not None:
        screen.print(
            "[quiet]times are compared inside a tier only: a Python loop is no rival of a compiled kernel[/]"
        )
    hidden: list[str] = []
    empty = True
    for point, rows in _points(judged, comparison):
        tables = [made for made in tables_of(experiment, rows) if has_rows(made)]
        if not tables:  # all refused: the reasons stand below
            continue
        empty = False
        screen.print()
        if words := point_label(experiment, point):
            screen.print(f"[name]{escape(words)}[/]")
        for made in tables:
            grid, left_out = comparison_grid(made, screen)
            beside = {column.name for column in made.metrics if column.compared}
            hidden += [name for name in left_out if name not in {*hidden, *beside}]
            screen.print(grid)
    screen.print("\n[quiet]no figures there[/]" if empty else "")
    screen.print(
        f"[quiet]{_compared(experiment)}, 95% interval · ~ no difference seen · bold: best of its tier[/]"
    )
    if hidden:
        screen.print(
            f"[quiet]too wide for this terminal: {escape(', '.join(hidden))}; see one with --metric, all in lab report[/]"
        )
    shown = judged.status[judged.status["variant"].isin(set(comparison["variant"]))]
    for line in states(replace(judged, status=shown), (*BAD, "refused")):
        screen.print(escape(line), soft_wrap=True)
    if not is_whole:
        return
    _print_control(judged, screen)
    for warning in judged.warnings:
        screen.print(f"[open]note: {escape(warning)}[/]", soft_wrap=True)


def _compared(experiment: Experiment) -> str:
    if experiment.seeds is None:
        return "speed: times as fast as the first of its tier, paired by process"
    first = experiment.baseline if len(experiment.tiers) == 1 else "the first of its tier"
    return f"vs: minus {first}, paired by seed"


def _replicates(experiment: Experiment) -> str:
    if experiment.repeats is not None:
        return f"{experiment.repeats} processes a point"
    return f"{experiment.seeds} seeds"


def _print_control(judged: Results, screen: Console) -> None:
    """The first of each tier beside itself, at every point."""
    from ..core.analysis import digits

    found: dict[str, list[str]] = {}
    few = ""
    for row in judged.control.to_dict("records"):
        few = no_interval(row["n"], "repeat")
        ends = (None, None) if few else (row["low"], row["high"])
        shown = digits.format(row["ratio"], *ends, kind="ratio")
        found.setdefault(row["variant"], []).append(shown + (" off!" if row["off"] else ""))
    for variant, ratios in found.items():
        line = f"A/A control, {variant} against itself: {', '.join(ratios)}{f' ({few})' if few else ''}"
        screen.print(f"[quiet]{escape(line)}[/]", soft_wrap=True)


def _print_claims(judged: Results, screen: Console) -> None:
    """Every claim with its sentence and why it is judged so; the rest is in `lab explain`."""
    verdicts = in_order(judged.verdicts)
    if not verdicts:
        return
    grid, has_sentences = claims_grid(verdicts, judged.experiment, screen.width)
    head, *rows = lines_of(screen, grid)
    screen.print()
    screen.print(head)
    for verdict, row in zip(verdicts, rows, strict=True):
        screen.print(row)
        says = [] if has_sentences else [verdict.says]
        if why := " · ".join([*says, *filter(None, [verdict.detail])]):
            screen.print(Padding(Text(why, style="dim"), (0, 0, 0, 3)))
    screen.print(f"\n[quiet]{escape(legend(verdicts, judged.experiment.noun))}[/]")
    one = command("explain", judged.run, f"{judged.experiment.name}/{verdicts[0].claim}")
    screen.print(f"the reasoning behind one: [command]{escape(one)}[/]", soft_wrap=True)


def _print_json(judged: Results, comparison: pd.DataFrame) -> None:
    from .run_results import records, summary_data

    print_json(summary_data(judged) | {"comparison": records(comparison), "control": records(judged.control)})


def _print_text(judged: Results, comparison: pd.DataFrame, format: str) -> None:
    """Markdown and LaTeX hold the same cells as the screen; CSV holds the numbers."""
    if format == "csv":
        write(csv_of(comparison))
        return
    written = markdown if format == "markdown" else latex
    for point, rows in _points(judged, comparison):
        for made in tables_of(judged.experiment, rows):
            names, cells = plain_rows(made)
            right = [False, False, *[True] * (len(names) - 2)]
            write(written(point_label(judged.experiment, point), names, right, cells))
    if format == "markdown":
        claims = [
            [v.letter, v.claim, v.says, paper(v, judged.experiment), v.here or "-", v.word, v.source]
            for v in judged.verdicts
        ]
        names = ["", "id", "claim", "paper", "here", "verdict", "source"]
        write(markdown("claims", names, [False] * 7, claims))
