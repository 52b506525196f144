"""Where experiments are found: a path, then ./experiments/, then the ones that come with lab."""

from __future__ import annotations

from pathlib import Path

from .document import shorten
from .mistakes import Mark, Mistake, Mistakes, nearest

BUILT_IN = (
    Path(__file__).resolve().parents[2] / "experiments"
)  # the same in a checkout and in an installed wheel
SUFFIXES = (".yaml", ".yml")


def here() -> Path:
    """The user's own experiments."""
    return Path.cwd() / "experiments"


def known() -> dict[str, Path]:
    """Every experiment by name; one of the user's own hides a built-in of the same name."""
    found: dict[str, Path] = {}
    for folder in (BUILT_IN, here()):
        if folder.is_dir():
            found |= {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES}
    return dict(sorted(found.items()))


def find(name: str) -> Path:
    """The file of an experiment, by name or path.

    Raises:
        Mistakes: there is none; with the nearest name.
    """
    path = Path(name).expanduser()
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        if path.is_file():
            return path
        raise Mistakes([Mistake(Mark(shorten(path)), "no such file")])
    experiments = known()
    if name in experiments:
        return experiments[name]
    raise Mistakes(
        [Mistake(Mark(""), f'no experiment "{name}".{nearest(name, experiments)}    all: lab list')]
    )
