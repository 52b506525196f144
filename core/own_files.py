"""References to functions in the user's files, and digests of files. A leaf.

    ./file.py:function                          a function
    accuracy+0.5*./file.py:f+./other.py:g       several, each with a weight if need be, and names among them

`+` separates terms, but not inside of a path: one that holds a `+` begins with `./`, `../`, `/` or `~`, and every path
ends with `.py:function`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

_WEIGHT = r"(?:(?P<weight>[-+]?[\w.]+(?:(?<=[eE])[-+]\d+)?)\s*\*)?"
_NAME = r"[^\W\d][\w-]*"
_PATH = r".+?\.py:\w*"
_TERM = re.compile(
    rf"\s*{_WEIGHT}\s*(?P<name>(?:{_NAME}|{_PATH})(?=\s*(?:\+|$))|[^+]*?)\s*(?P<more>\+|$)", re.DOTALL
)


@dataclass(frozen=True)
class Term:
    """One summand of a text such as `accuracy+0.5*./file.py:f`.

    Attributes:
        weight: as written, empty where there is none.
        name: a word or `./file.py:function`; any other text as it stands.
    """

    weight: str
    name: str

    def __str__(self) -> str:
        return f"{self.weight}*{self.name}" if self.weight else self.name

    @property
    def is_own(self) -> bool:
        """Whether it is a function in a file of the user's."""
        return is_reference(self.name)

    def factor(self, *, positive: bool = False) -> float:
        """The weight as a number, 1 where none is written.

        Raises ValueError: it is no finite number, or with `positive` not above 0.
        """
        try:
            weight = float(self.weight or 1)
        except ValueError:
            raise ValueError(f"the weight of {self.name} is {self.weight!r}, which is no number") from None
        if positive and not (isfinite(weight) and weight > 0):
            raise ValueError(f"the weight of {self.name} is {self.weight}; it must be above 0 and finite")
        if not isfinite(weight):
            raise ValueError(f"the weight of {self.name} is {self.weight}, which is not finite")
        return weight


def terms(text: str) -> list[Term]:
    """The terms of a text; the caller checks their names and weights."""
    found: list[Term] = []
    at, more = 0, True
    while more:
        term = _TERM.match(text, at)
        assert term is not None  # its last alternative takes anything
        found.append(Term(term["weight"] or "", term["name"]))
        at, more = term.end(), bool(term["more"])
    return found


def is_reference(value: object) -> bool:
    """Whether a text names a function in a file of the user's, alone or among other terms."""
    return isinstance(value, str) and ".py:" in value


def check_that_a_function_is_named(text: str) -> None:
    """Raise ValueError if a text names a file without a function."""
    if text.endswith(".py"):
        raise ValueError(f"{text} is a file; name the function in it as {text}:function")


def digest(path: Path) -> str:
    """Twelve hexadecimal digits that change with a file, or with any file of a folder and its name there."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return digest_of_files(path, (each for each in path.rglob("*") if each.is_file()))


def digest_of_files(folder: Path, files: Iterable[Path]) -> str:
    """Twelve hexadecimal digits that change with the content of these files, or with their paths below a folder."""
    whole = hashlib.sha256()
    for file in sorted(files):
        with file.open("rb") as content:  # weights may be larger than memory
            of_file = hashlib.file_digest(content, "sha256").digest()
        whole.update(file.relative_to(folder).as_posix().encode() + b"\0" + of_file)
    return whole.hexdigest()[:12]
