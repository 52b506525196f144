"""Files of the user's in an experiment: how a text names functions in them, and a digest of what is in them. A leaf.

    ./file.py:function                          a function
    accuracy+0.5*./file.py:f+./other.py:g       several, each with a weight if need be, and names among them

`+` separates terms, but not inside of a path: one that holds a `+` begins with `./`, `../`, `/` or `~`, and every path
ends with `.py:function`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_WEIGHT = r"(?:(?P<weight>[-+]?[\w.]+(?:(?<=[eE])[-+]\d+)?)\s*\*)?"
_NAME = r"[^\W\d][\w-]*"
_PATH = r".+?\.py:\w*"
_TERM = re.compile(
    rf"\s*{_WEIGHT}\s*(?P<name>(?:{_NAME}|{_PATH})(?=\s*(?:\+|$))|[^+]*?)\s*(?P<more>\+|$)", re.DOTALL
)


@dataclass(frozen=True)
class Term:
    """One of what is added up.

    Attributes:
        weight: as written, empty where there is none.
        name: a word, or `./file.py:function`; whatever stands there where it is neither.
    """

    weight: str
    name: str

    def __str__(self) -> str:
        return f"{self.weight}*{self.name}" if self.weight else self.name

    @property
    def is_own(self) -> bool:
        """Whether it is a function in a file of the user's."""
        return is_reference(self.name)


def terms(text: str) -> list[Term]:
    """A text taken apart; every text can be, and what is wrong with a term is for others to say."""
    found: list[Term] = []
    at, more = 0, True
    while more:
        term = _TERM.match(text, at)
        assert term is not None  # its last alternative takes anything
        found.append(Term(term["weight"] or "", term["name"]))
        at, more = term.end(), bool(term["more"])
    return found


def is_reference(value: object) -> bool:
    """Whether a text names a function in a file of the user's, alone or among others."""
    return isinstance(value, str) and ".py:" in value


def check_that_a_function_is_named(text: str) -> None:
    """Raise ValueError if a text is the name of a file and nothing more."""
    if text.endswith(".py"):
        raise ValueError(f"{text} is a file; name the function in it as {text}:function")


def digest(path: Path) -> str:
    """Twelve hexadecimal digits that change with the file; for a folder with any file in it, or its name there."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    whole = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        with file.open("rb") as content:  # weights are larger than memory should be asked for
            of_file = hashlib.file_digest(content, "sha256").digest()
        whole.update(file.relative_to(path).as_posix().encode() + b"\0" + of_file)
    return whole.hexdigest()[:12]
