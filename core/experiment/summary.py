"""Parses the summary of an experiment, a sentence with figures in braces.

    {AXIS.max}  {AXIS.min}        the ends of an axis in this run
    {METRIC: A}                   the figure of variant A
    {METRIC: A / B}               how many times B's figure A's is
    {METRIC: A - B}               by how much they differ

Behind a figure may stand a point, `{time: online / safe @ columns=4000, dtype=float32}`; what it leaves out
is the largest value of that axis. A minus has spaces around it, since names of variants contain hyphens.
`{{` and `}}` are braces of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .document import plain_value
from .schema import Point

Kind = Literal["metric", "variant", "axis"]

_NAME = r"[A-Za-z0-9][\w.+-]*"
_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<body>[^{}]*)\}|(?P<stray>[{}])")
_END = re.compile(r"(?P<axis>\w+)\.(?P<end>max|min)")
# A metric may bear TRL's names, such as eval/pass@1.
_FIGURE = re.compile(
    rf"(?P<metric>\w[\w./@-]*)\s*:\s*(?P<of>{_NAME})(?:(?:\s*(?P<ratio>/)\s*|\s+-\s+)(?P<over>{_NAME}))?"
    r"(?:\s*@\s*(?P<where>.*))?"
)


@dataclass(frozen=True)
class Text:
    """Literal text."""

    text: str

    def names(self) -> Iterator[tuple[Kind, str]]:
        yield from ()


@dataclass(frozen=True)
class End:
    """The largest or smallest value of an axis."""

    axis: str
    end: Literal["max", "min"]

    def names(self) -> Iterator[tuple[Kind, str]]:
        yield "axis", self.axis


@dataclass(frozen=True)
class Figure:
    """A metric of one variant (`over` is None), or of two.

    Attributes:
        kind: value; ratio, `of` divided by `over`; difference, `of` minus `over`.
        where: a value for some axes; `max` and `min` name ends.
    """

    kind: Literal["value", "ratio", "difference"]
    metric: str
    of: str
    over: str | None
    where: Point

    def names(self) -> Iterator[tuple[Kind, str]]:
        yield "metric", self.metric
        yield "variant", self.of
        if self.over is not None:
            yield "variant", self.over
        for axis in self.where:
            yield "axis", axis


Piece = Text | End | Figure


def parse(template: str) -> list[Piece]:
    """Parse a summary. `names()` of a piece lists what it mentions.

    Raises ValueError: with the position (from 1) of the brace and what would be right.
    """
    pieces: list[Piece] = []
    words, at = "", 0
    for token in _TOKEN.finditer(template):
        words += template[at : token.start()]
        at = token.end()
        position = token.start() + 1
        if token["stray"]:
            raise ValueError(
                f"position {position}: a {token['stray']} without its partner; {{{{ and }}}} print braces"
            )
        if token["body"] is None:
            words += token[0][0]
            continue
        if words:
            pieces.append(Text(words))
            words = ""
        pieces.append(_piece(token["body"].strip(), position))
    words += template[at:]
    return [*pieces, Text(words)] if words else pieces


def _piece(body: str, position: int) -> Piece:
    if end := _END.fullmatch(body):
        return End(end["axis"], "max" if end["end"] == "max" else "min")
    figure = _FIGURE.fullmatch(body)
    if figure is None:
        raise ValueError(
            f"position {position}: {{{body}}} is none of {{AXIS.max}}, {{METRIC: A}}, {{METRIC: A / B}}, "
            "{METRIC: A - B}"
        )
    kind: Literal["value", "ratio", "difference"] = "value"
    if figure["over"] is not None:
        kind = "ratio" if figure["ratio"] else "difference"
    where = _where(figure["where"], position) if figure["where"] is not None else {}
    return Figure(kind, figure["metric"], figure["of"], figure["over"], where)


def _where(text: str, position: int) -> Point:
    where: Point = {}
    for condition in text.split(","):
        axis, equals, value = (part.strip() for part in condition.partition("="))
        if not (axis and equals and value):
            raise ValueError(f"position {position}: behind @ stands axis=value, not {condition.strip()!r}")
        read = plain_value(value)
        where[axis] = value if read is None else read
    return where
