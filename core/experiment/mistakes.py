"""Mistakes in an experiment file or a command line, each with its position."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """A position that a user can go to: a file with line and column, or what was typed (`-s colums=1`)."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Mistake:
    """One mistake: its position and a message."""

    position: Position
    message: str

    def __str__(self) -> str:
        return f"{self.position}: {self.message}" if self.position.source else self.message


class Mistakes(Exception):
    """All mistakes of one file or command at once; ends a command with exit code 2."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(
            set(mistakes), key=lambda m: (m.position.source, m.position.line or 0, m.position.column or 0)
        )
        super().__init__("\n".join(map(str, self.mistakes)))
