"""Removes runs: never one that is being written, never anything outside of the results folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from calendar import timegm
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from . import lock
from .files import Damaged
from .folder import Run

FOLDER = re.compile(r"(\d{8}T\d{6}Z)-[a-z]{4}")


def removable(results: Path) -> Iterator[Run]:
    """Every run, also one that cannot be read or that an interrupted removal has left half; the newest first."""
    folders = [
        folder
        for parent in (results.iterdir() if results.is_dir() else ())
        for folder in (parent.iterdir() if parent.is_dir() else ())
        if FOLDER.fullmatch(folder.name) and _began(folder.name) is not None and folder.is_dir()
    ]
    yield from (Run(folder) for folder in sorted(folders, key=lambda folder: folder.name, reverse=True))


def age(run: Run) -> float:
    """Seconds since it began, by the name of its folder."""
    return time.time() - (_began(run.folder.name) or 0.0)


def _began(name: str) -> float | None:
    """The time in a folder's name; None where it holds none."""
    with suppress(ValueError):
        return float(timegm(time.strptime(name.rpartition("-")[0], "%Y%m%dT%H%M%SZ")))
    return None


def is_partial(run: Run) -> bool:
    """Whether it neither finished nor is being written."""
    if lock.is_held(run.lock):
        return False
    try:
        return not run.is_finished
    except FileNotFoundError:  # what an interrupted removal left
        return True
    except (Damaged, OSError):  # what cannot be read may be finished: it goes by its letters only
        return False


def size(run: Run) -> int:
    """Bytes of its files; links count as themselves."""
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(run.folder, followlinks=False)
        for name in names
    )


def remove(run: Run, results: Path, only_partial: bool = False) -> str | None:
    """Remove the folder of a run, with `only_partial` unless it has finished since it was chosen; None, or why it was kept.

    Raises:
        OSError: it cannot be removed, or only in part; what is left is no run any more.
    """
    if run.folder.is_symlink() or not run.folder.resolve().is_relative_to(results.resolve()):
        return "it is a link to somewhere else"
    if (descriptor := lock.acquire(run.lock)) is None:
        return f"it is being written ({lock.owner(run.lock)})"
    try:
        if only_partial and (run.folder / "run.json").exists() and run.is_finished:
            return "it has finished since"
        # Without it nobody takes what an interrupted removal leaves for a run with fewer trials.
        (run.folder / "run.json").unlink(missing_ok=True)
        shutil.rmtree(run.folder)
    finally:
        os.close(descriptor)
    with suppress(OSError):  # the last run of its experiment
        run.folder.parent.rmdir()
    return None
