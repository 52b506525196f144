"""The file of the experiment that a person names, and a line where it is not the one that comes with lab."""

from __future__ import annotations

from pathlib import Path

from ..core.experiment.discovery import find, hidden
from ..core.experiment.document import shorten
from .screen import err


def path_of(name: str) -> Path:
    """The file of that name, or that path.

    Raises:
        Mistakes: there is none; with the nearest name.
    """
    path = find(name)
    if name in hidden():
        say_hidden(name, path)
    return path


def say_hidden(name: str, path: Path) -> None:
    """Say that one of the user's own experiments stands in the place of a built-in one."""
    line = f"{name} is {shorten(path)} here, not the experiment of that name that comes with lab"
    err().print(line, markup=False, soft_wrap=True)
