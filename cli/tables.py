"""Tables for the terminal: variants by tier at a point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape, render
from rich.table import Table as Grid

from ..core.suggest import nearest
from .screen import GAP, stop, table

if TYPE_CHECKING:
    import pandas as pd

    from ..core.experiment.schema import Experiment
    from ..core.report.table import Cell, Column, Row, Table
    from ..core.run.results import Results

BAD = ("wrong", "failed", "timeout")


def comparison(experiment: Experiment, at_point: pd.DataFrame) -> list[Table]:
    """The comparison at one point: the same table that the report shows."""
    from ..core.report.table import tables

    return tables(experiment, at_point)


def comparison_grid(made: Table, screen: Console, corner: str = "") -> tuple[Grid, list[str]]:
    """A table for the terminal: as many columns as fit, and the names of those that do not."""
    columns_of = [*made.points, *made.metrics]
    names = [column.name for column in columns_of]
    rows = _cells(made)
    columns = zip([corner, *names], *([render(cell).plain for cell in row] for row in rows), strict=True)
    ends = accumulate(max(map(cell_len, column)) + GAP for column in columns)
    fitting = (
        sum(1 for end in ends if end - GAP <= screen.width) - 1
    )  # the variants' own column does not count
    shown = min(len(names), max(fitting, 2))
    head = [
        corner,
        *(f">{column.name}" if column.is_number else column.name for column in columns_of[:shown]),
    ]
    return table(head, [row[: shown + 1] for row in rows]), names[shown:]


def is_shown(row: Row) -> bool:
    """Whether a row has anything to show: figures, something worse than a refusal, or whatever became of the user's own."""
    return bool(row.cells) or row.status in BAD or row.own


def has_rows(made: Table) -> bool:
    return any(is_shown(row) for tier in made.tiers for row in tier.rows)


def _cells(made: Table) -> list[list[str]]:
    """A row for each variant, and for the name of each tier: markup for the terminal, all as long as the heading."""
    columns = [*made.points, *made.metrics]
    rows: list[list[str]] = []
    for tier in made.tiers:
        found = [row for row in tier.rows if is_shown(row)]
        if found and len(made.tiers) > 1:
            note = " (not timed)" if tier.name == "reference" else ""
            rows.append([f"[quiet]{escape(tier.name + note)}[/]"])
        indent = "  " if len(made.tiers) > 1 else ""
        for row in found:
            cells = zip(columns, [*row.point, *row.cells], strict=False) if row.cells else ()
            marked = [_marked(column, cell) for column, cell in cells] or [f"[bad]{row.status}[/]"]
            variant = f"[name]{escape(row.variant)}[/]" if row.own else escape(row.variant)
            rows.append([indent + variant, *marked])
    return [row + [""] * (len(columns) + 1 - len(row)) for row in rows]


def _marked(column: Column, cell: Cell) -> str:
    """Bold for the best, `~` where no difference is seen. Of a figure itself the digits tell how sure it is; what is
    compared has its interval."""
    if cell.same:
        return "~"
    text = escape(f"{cell.text} {cell.interval}".strip() if column.compared else cell.text)
    return f"[bold]{text}[/]" if cell.best else text


def plain_rows(made: Table) -> tuple[list[str], list[list[str]]]:
    """The same cells without marks, for Markdown and LaTeX."""
    names = ["tier", "variant", *(column.name for column in [*made.points, *made.metrics])]
    rows = [
        [
            tier.name,
            row.variant,
            *(
                "~" if cell.same else f"{cell.text} {cell.interval}".strip()
                for cell in [*row.point, *row.cells]
            ),
        ]
        for tier in made.tiers
        for row in tier.rows
        if row.cells
    ]
    return names, rows


def point_label(experiment: Experiment, point: dict[str, Any]) -> str:
    """`columns=32,000`; a key with the value of `params` is left out."""
    shown = {
        key: value
        for key, value in point.items()
        if key in experiment.axes or experiment.params.get(key) != value
    }
    return ", ".join(
        f"{key}={value:,}" if type(value) is int else f"{key}={value}" for key, value in shown.items()
    )


def metric_called(word: str, experiment: Experiment) -> str:
    """A metric by its name, or by the heading that tables give it."""
    if word in experiment.metrics:
        return word
    headings = {name: metric.label or name.replace("_", " ") for name, metric in experiment.metrics.items()}
    found = [name for name, heading in headings.items() if heading.lower() == word.lower()]
    if len(found) > 1:
        stop(f"--metric {word}: that is the heading of {' and of '.join(found)}; name one of them")
    if not found:
        stop(f"--metric {word}: no such metric.{nearest(word, [*experiment.metrics, *headings.values()])}")
    return found[0]


def states(results: Results, words: Sequence[str]) -> list[str]:
    """A line for each variant that is wrong, failed or refused: at which point, and the first reason."""
    experiment, keys = results.experiment, results.experiment.point_keys
    order = {name: index for index, name in enumerate(experiment.variants)}
    rows = [row for row in results.status.to_dict("records") if row["status"] in words]
    found: dict[tuple[str, str], list[dict[Any, Any]]] = {}
    for row in sorted(rows, key=lambda row: (words.index(row["status"]), order[row["variant"]])):
        # Each variant that is wrong has a line; a refusal that several share has one.
        who = row["reason"] if row["status"] == "refused" else row["variant"]
        found.setdefault((row["status"], who), []).append(row)
    lines = []
    for (status, _), same in found.items():
        names = ", ".join(dict.fromkeys(row["variant"] for row in same))
        points = list(dict.fromkeys(point_label(experiment, {key: row[key] for key in keys}) for row in same))
        where = f" at {points[0]}" if points[0] else ""
        more = f" and {len(points) - 1} more" if len(points) > 1 else ""
        lines.append(f"{names} {status}{where}{more}: {same[0]['reason']}")
    return lines
