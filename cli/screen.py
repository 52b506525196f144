"""The terminal: one console for results, one for remarks, one table, one way to end with a message.

All that lab prints goes through here, and the terminal obeys none of it: text comes from experiment files, from trials and
from models.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.theme import Theme

from ..core.safe_text import visible

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
WORDS = {
    "holds": "good", "fails here": "bad", "unclear": "open", "preview": "open", "not trained enough": "open",
    "not tested": "quiet",
}  # fmt: skip


NARROWEST = 20  # columns
GAP = 2  # columns between two of a table
IN_ASCII = {
    "·": "-",
    "…": "...",
    "−": "-",
    "–": "-",
    "×": "x",
    "µ": "u",
    "√": "sqrt",
    "§": "sec. ",
    "≥": ">=",
}
IN_ASCII |= {"≤": "<=", "²": "2", "━": "-", "╸": "-", "╺": "-", "“": '"', "”": '"', "’": "'"}


class Screen(Console):
    """A console that prints control characters of a text as their pictures."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for `main`: rich would end with 1


def use_streams() -> None:
    """Take standard output and error as they are: closed, without a width, or of an encoding that lacks our characters."""
    columns = os.environ.get("COLUMNS", "80")
    if not columns.isdecimal() or int(columns) < NARROWEST:
        del os.environ["COLUMNS"]
    codecs.register_error("lab", lambda error: (_in_ascii(error), error.end))  # type: ignore[attr-defined]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who called: nobody wants to hear
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # until the process ends
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="lab")


def _in_ascii(error: Any) -> str:
    return "".join(IN_ASCII.get(character, "?") for character in error.object[error.start : error.end])


def _console(stream: Any) -> Console:
    # Into a pipe or a file nothing need be cut to fit, so lines may be as long as a table is.
    width = None if stream.isatty() or "COLUMNS" in os.environ else 110
    return Screen(file=stream, theme=THEME, highlight=False, width=width)


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
    """In ASCII, which every terminal and every encoding can bear."""
    from ..core.run.files import to_json

    sys.stdout.write(to_json(data, indent=1, ascii=True) + "\n")


def write(text: str) -> None:
    """Print text for a program, with control characters as their pictures."""
    sys.stdout.write(visible(text))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, shorten: int | tuple[int, ...] = ()
) -> Table:
    """A table in the house style. A column named `>x` is set right; the columns numbered `shorten` wrap where the terminal is
    narrow."""
    giving = (shorten,) if isinstance(shorten, int) else shorten
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="quiet", show_edge=False)
    for index, column in enumerate(columns):
        right, gives = column.startswith(">"), index in giving
        made.add_column(
            escape(column.removeprefix(">")),
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


def with_commas(value: Any) -> str:
    """`10,000`: a whole number as people read it, anything else as it is."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


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


def waiting(console: Console, message: str) -> AbstractContextManager[object]:
    """A line with a spinner while the block runs, on a terminal; nothing elsewhere."""
    return console.status(message) if console.is_terminal else nullcontext()


class Stopped(typer.Exit):
    """The end of a command, with the reason that was printed."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(code)
        self.message = message


def stop(message: object, code: int = 2) -> NoReturn:
    """Print what is wrong and end the command."""
    console = err()
    for line in str(message).splitlines():
        console.print(escape(line), soft_wrap=True)
    raise Stopped(str(message), code)
