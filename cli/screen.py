"""How everything looks on a terminal: one console for data, one for remarks, one table, one way to tell a mistake."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.theme import Theme

THEME = Theme(
    {
        "quiet": "dim",
        "good": "green",
        "bad": "red",
        "open": "yellow",
        "name": "bold",
        "command": "cyan",
    }
)
WORDS = {"holds": "good", "fails here": "bad", "unclear": "open", "preview": "open", "not tested": "quiet"}


def _console(stream: Any) -> Console:
    # Into a pipe or a file nothing need be cut to fit, so lines may be as long as a table is.
    width = None if stream.isatty() or "COLUMNS" in os.environ else 110
    return Console(file=stream, theme=THEME, highlight=False, width=width)


def out() -> Console:
    """Where results go: standard output."""
    return _console(sys.stdout)


def err() -> Console:
    """Where remarks go, and all that is for people when --json asks for data."""
    return _console(sys.stderr)


def people(json: bool) -> Console:
    """For people: standard output, unless it is promised to hold one JSON document and nothing else."""
    return err() if json else out()


def print_json(data: Any) -> None:
    from ..core.run.files import to_json

    sys.stdout.write(to_json(data, indent=1) + "\n")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, shorten: int | tuple[int, ...] = ()
) -> Table:
    """A table in the house style. A column named `>x` is set right; the columns numbered `shorten` give way when the
    terminal is narrow."""
    giving = (shorten,) if isinstance(shorten, int) else shorten
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="quiet", show_edge=False)
    for index, column in enumerate(columns):
        right, gives = column.startswith(">"), index in giving
        made.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=not gives,
            overflow="fold" if gives else "ellipsis",
            ratio=None,
        )
    for row in rows:
        made.add_row(*row)
    return made


def styled_word(word: str) -> str:
    """A verdict with its colour; the word alone carries the meaning."""
    style = WORDS.get(word, "open" if word.endswith("*") else "")
    return f"[{style}]{escape(word)}[/]" if style else escape(word)


def duration(seconds: float) -> str:
    """`0:48`, `1:02:03`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def about(seconds: float) -> str:
    """`40 s`, `4 min`, `2 h`: how long something takes, to read at a glance."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


def ago(started: str) -> str:
    """`just now`, `4 min ago`, of a UTC time in ISO form."""
    from datetime import UTC, datetime

    then = datetime.fromisoformat(started)
    seconds = (datetime.now(UTC) - then).total_seconds()
    for limit, unit, name in ((90, 1, ""), (5400, 60, "min"), (129600, 3600, "h")):
        if seconds < limit:
            return "just now" if unit == 1 else f"{round(seconds / unit)} {name} ago"
    return f"{round(seconds / 86400)} days ago"


def stop(message: object, code: int = 2) -> NoReturn:
    """Say what is wrong, one line each, and end."""
    console = err()
    for line in str(message).splitlines():
        console.print(escape(line), soft_wrap=True)
    raise typer.Exit(code)
