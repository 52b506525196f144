"""The file of the experiment that a command names, and a note where it hides a built-in one."""

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
        print_hidden(name, path)
    return path


def print_hidden(name: str, path: Path) -> None:
    """Print that one of the user's own experiments hides a built-in one."""
    line = f"{name} is {shorten(path)} here, not the experiment of that name that comes with lab"
    err().print(line, markup=False, soft_wrap=True)
