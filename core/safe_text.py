"""Text from files and from others, in places where some characters mean something: a terminal, Markdown, LaTeX, CSV.

A leaf.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What a terminal obeys (C0 but tab and newline, DEL, C1), what turns the direction of writing round, and halves of
# surrogate pairs, by which Python carries bytes that are no UTF-8.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#|~&$]|^[-+](?= |$)|^-(?=[- ]*$)|^=(?==*$)")
_NUMBERED = re.compile(r"^(\d+)([.)])(?= |$)")  # a list, at the beginning of a line
_FORMULA = ("=", "+", "-", "@", "\t", "\n")
_SIGNED = re.compile(r"[-+][\d.,eEx%\[\] +-]*")  # -0.3 [-0.4, -0.2]
_IN_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {"<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}"}
)


def visible(text: str) -> str:
    """The text without anything that a terminal obeys: control characters become their pictures (ESC is ␛)."""
    return _UNSEEN.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 32 else "␡" if code == 127 else "\ufffd"


def one_line(text: str) -> str:
    """Visible, and every run of blanks and line ends a single blank."""
    return visible(" ".join(text.split()))


def in_markdown(text: str) -> str:
    """One line of plain text in which no character is markup, in tables too."""
    escaped = _IN_MARKDOWN.sub(
        lambda found: {"<": "&lt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}"), one_line(text)
    )
    return _NUMBERED.sub(r"\1\\\2", escaped)


def in_latex(text: str) -> str:
    """One line of plain text in which no character is a command."""
    return one_line(text).translate(_IN_LATEX)


def csv_of(table: pd.DataFrame) -> str:
    """A table as CSV; a text that a spreadsheet would take for a formula has an apostrophe before it."""
    from pandas.api.types import is_numeric_dtype

    texts = [column for column in table.columns if not is_numeric_dtype(table[column])]
    safe = table.assign(**{column: table[column].map(_no_formula) for column in texts})
    return safe.rename(columns=_no_formula).to_csv(index=False)


def _no_formula(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    # A newline is quoted; a lone \r would end the row.
    cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{cell}" if cell[:1] in _FORMULA and not _SIGNED.fullmatch(cell) else cell
