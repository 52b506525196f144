"""The run that a reading command is about. Reading never makes one: where there is none, the command that would is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.experiment.document import read
from .experiment_file import path_of
from .options import results_words
from .screen import err, stop

if TYPE_CHECKING:
    from ..core.run.folder import Run


def run_called(name: str, letters: str, results: Path) -> Run:
    """The run of an experiment known by these letters; ends the command where there is none, or several."""
    from ..core.run.folder import runs

    return only_one(letters, runs(results, name), f" of {name} in {results}/")


def only_one(letters: str, runs: Sequence[Run], where: str) -> Run:
    """Of these runs the one of these letters, or of this folder's name; ends the command where there is none, or several."""
    from ..core.suggest import nearest

    found = [run for run in runs if letters in (run.id, run.folder.name)]
    if len(found) > 1:
        stop(f"{letters}: there are {len(found)}; say which: {', '.join(run.folder.name for run in found)}")
    if not found:
        stop(f"no run {letters}{where}.{nearest(letters, [run.id for run in runs])}    all: lab runs")
    return found[0]


def runs_to_show(name: str, results: Path) -> list[Run]:
    """The newest full run, else the newest quick one, and those after it; ends the command where there is none."""
    from ..core.experiment.overview import NAME
    from ..core.experiment.shape import shaped
    from ..core.run.folder import ranked, unreadable

    has_runs = NAME.fullmatch(name) is not None and (results / name).is_dir()
    title = name if has_runs else shaped(read(path_of(name))).name
    for line in unreadable(results, title):
        err().print(line, markup=False, soft_wrap=True)
    found = ranked(results, title)
    elsewhere = "".join(f" {word}" for word in results_words(results))
    finished = [run for run in found if run.is_finished]
    if finished:
        return finished
    if found and found[0].results():
        err().print(
            f"no finished run of {title}; this is {found[0].id}, unfinished: lab run {title} --resume {found[0].id}{elsewhere}"
        )
        return found
    stop(
        f"no run of {name} in {results}/ yet; to make one: lab run {name} --quick{elsewhere}, or without --quick a full one"
    )
