"""Finds experiments: a path, then ./experiments/, then the built-in ones."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..suggest import nearest
from .document import shorten
from .mistakes import Mistake, Mistakes, Position

# The same in a checkout and in an installed wheel.
BUILT_IN = Path(__file__).resolve().parents[2] / "experiments"
SUFFIXES = (".yaml", ".yml")


def here() -> Path:
    """The user's own experiments."""
    return Path.cwd() / "experiments"


def experiment_files() -> dict[str, Path]:
    """Every experiment by name; one of the user's own hides a built-in of the same name."""
    return dict(sorted((_inside(BUILT_IN) | _inside(here())).items()))


def hidden() -> list[str]:
    """The built-in experiments that a user's own experiment of the same name hides."""
    return sorted(_inside(BUILT_IN).keys() & _inside(here()).keys()) if here().resolve() != BUILT_IN else []


def _inside(folder: Path) -> dict[str, Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.stem: path for path in paths if path.suffix in SUFFIXES}


def find(name: str) -> Path:
    """The file of an experiment, by name or path. Raises Mistakes: there is none; with the nearest name."""
    path = Path(name)
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        with suppress(RuntimeError):  # `~name` of an unknown user
            path = path.expanduser()
        if os.path.lexists(path):  # without raising, whatever the path; `read` says what is wrong with it
            return path
        raise Mistakes([Mistake(Position(shorten(path)), "no such file")])
    experiments = experiment_files()
    if name in experiments:
        return experiments[name]
    raise Mistakes(
        [Mistake(Position(""), f'no experiment "{name}".{nearest(name, experiments)}    all: lab list')]
    )
