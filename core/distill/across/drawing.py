"""One sentence in two models' tokens, and the spans that these have in common, in letters of one width."""

from __future__ import annotations

from ..losses.cross_tokenizer import Tokens, align
from .sides import Side

LONGEST = 72
"""Characters that are drawn."""


def drawn(student: Side, teacher: Side, text: str, longest: int = LONGEST) -> str:
    """Three lines: the teacher's tokens, the student's, and below them the spans that both end together.

    A token ends at a bar. A space is written ␣. The text is cut at a space.
    """
    if len(text) > longest:
        text = text[: text.rfind(" ", 0, longest) + 1] or text[:longest]
    cut = student.tokens(text), teacher.tokens(text)
    at = _columns(text)
    lines = [
        ("teacher", _row(cut[1], text, at)),
        ("student", _row(cut[0], text, at)),
        ("spans", _spans(cut, at, 2 * len(text) + 1)),
    ]
    return "\n".join(f"{name:8}{line}" for name, line in lines)


def _columns(text: str) -> dict[int, int]:
    """The column of each character's end, by its byte; inside a character there is no column."""
    found, byte = {0: 0}, 0
    for number, letter in enumerate(text, 1):
        byte += len(letter.encode())
        found[byte] = 2 * number
    return found


def _row(tokens: Tokens, text: str, at: dict[int, int]) -> str:
    cells = [" "] * (2 * len(text) + 1)
    cells[1::2] = ["␣" if letter == " " else letter for letter in text]
    cells[0] = "|"
    for end in tokens.ends:
        if end in at:  # a token may be a part of a character
            cells[at[end]] = "|"
    return "".join(cells)


def _spans(cut: tuple[Tokens, Tokens], at: dict[int, int], width: int) -> str:
    cells, begin = [" "] * width, 0
    for span in align(*cut):
        if (end := at.get(span.end)) is None:
            continue
        cells[begin + 1 : end] = ["─"] * (end - begin - 1)
        cells[begin + 1] = "└" if end - begin > 2 else "│"
        cells[end - 1] = "┘" if end - begin > 2 else "│"
        begin = end
    return "".join(cells)
