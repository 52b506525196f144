"""The folder of a run: finding it again and reading it. Its files are the truth about the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiment.overview import NAME
from ..measure.ceiling import with_repeats
from . import lock
from .files import Damaged, read_json, write_json
from .stored import is_environment, is_run, is_trial

if TYPE_CHECKING:  # `lab list` reads old runs, and has no time to import the schema
    from .plan import Trial


@dataclass(frozen=True)
class Run:
    """One `lab run` on disk."""

    folder: Path

    @property
    def id(self) -> str:
        """The last four letters, by which people call it."""
        return self.folder.name.rpartition("-")[2]

    @property
    def facts(self) -> dict[str, Any]:
        """run.json; a run that says `running` while no process holds its lock is `interrupted`.

        Raises Damaged: it is not what was written.
        """
        path = self.folder / "run.json"
        found = path.stat()
        facts = dict(_run_json(path, found.st_ino, found.st_mtime_ns, found.st_size))
        if facts["experiment"] != self.folder.absolute().parent.name:
            raise Damaged(path)
        if facts["status"] == "running" and not lock.is_held(self.lock):
            facts["status"] = "interrupted"
        return facts

    @property
    def lock(self) -> Path:
        """The file that whoever works on the run holds a lock on, for life."""
        return self.folder / "lock"

    def update(self, **changes: Any) -> None:
        """Change run.json."""
        path = self.folder / "run.json"
        write_json(path, (read_json(path) if path.exists() else {}) | changes)

    @property
    def is_finished(self) -> bool:
        return bool(self.facts["status"] == "finished")

    @property
    def machine(self) -> dict[str, Any]:
        """environment.json as it is.

        Raises Damaged: it is not what was written.
        """
        facts = read_json(self.folder / "environment.json")
        if not is_environment(facts):
            raise Damaged(self.folder / "environment.json")
        return facts

    @property
    def environment(self) -> dict[str, Any]:
        """environment.json, with the machine's peaks once they are measured: `peaks`, of them `fma_by_repeat`, the FMA peak
        before the first repeat and after each.

        Raises Damaged: it is not what was written.
        """
        measured: list[dict[str, Any]] = []
        while (result := self.result(peaks_key(len(measured)))) is not None:
            measured.append(result.get("metrics", {}))
        facts = {name: fact for name, fact in self.machine.items() if name != "peaks"}
        return facts | ({"peaks": with_repeats(measured)} if measured else {})

    def of(self, trial: Trial | str) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / (trial if isinstance(trial, str) else trial.key)

    def result(self, trial: Trial | str) -> dict[str, Any] | None:
        """What a trial ended with, see `result_in`."""
        return result_in(self.of(trial))

    def results(self) -> list[dict[str, Any]]:
        """Every finished trial, in the order of their names."""
        return [result for result in self.ends().values() if result is not None]

    def ends(self) -> dict[str, dict[str, Any] | None]:
        """Every finished trial by its name; None where its end can no longer be read."""
        return {path.parent.name: result_in(path.parent) for path in self._trial_files()}

    def to_try_again(self, failed: bool = False) -> list[Path]:
        """The ends of trials that the machine ended; with `failed` those of all that failed or took too long."""
        return [
            path
            for path in self._trial_files()
            if (result := result_in(path.parent)) is not None
            and result["status"] in ("failed", "timeout")
            and (failed or result.get("cause") == "machine")
        ]

    def _trial_files(self) -> list[Path]:
        return sorted((self.folder / "trials").glob("*/trial.json"))


def peaks_key(repeats: int) -> str:
    """The name of the trial that measured the peaks after so many repeats."""
    return f"peaks.{repeats}" if repeats else "peaks"


@cache
def _run_json(path: Path, *version: int) -> dict[str, Any]:
    """The facts of a run, read once while its file stays as it is (`version`): lists ask for them several times, of thousands."""
    facts = read_json(path)
    if not is_run(facts):
        raise Damaged(path)
    return facts


def runs(results: Path, name: str | None = None) -> list[Run]:
    """All runs that can be read, the newest first."""
    return [run for run in newest_first(results, name) if why_unreadable(run) is None]


def unreadable(results: Path, name: str | None = None) -> list[str]:
    """A line for each run that `runs` passes over: which, and why."""
    return [
        f"{run.folder} is passed over: {why}"
        for run in newest_first(results, name)
        if (why := why_unreadable(run))
    ]


def why_unreadable(run: Run) -> str | None:
    try:
        run.facts  # noqa: B018  # reading them is the question
    except Damaged as damaged:
        return f"{Path(damaged.filename).name} is damaged"
    except OSError as error:
        return f"run.json: {error.strerror or error}"
    return None


def newest_first(results: Path, name: str | None = None) -> Iterator[Run]:
    """Every folder of a run, unread. No pattern is matched: a name may come from a command line."""
    if name is not None and not NAME.fullmatch(name):
        return
    parents = [results / name] if name else _folders(results)
    folders = [folder for parent in parents for folder in _folders(parent)]
    for folder in sorted(folders, key=lambda folder: folder.name, reverse=True):
        if (folder / "run.json").exists():
            yield Run(folder)


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        return [parent / entry.name for entry in entries if entry.is_dir()]


def result_in(folder: Path) -> dict[str, Any] | None:
    """What the trial of this folder ended with; None while it has not, or when that can no longer be read."""
    try:
        result = read_json(folder / "trial.json")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, Damaged):
        return None
    return result if is_trial(result) else None


def newest(results: Path, name: str, *, full: bool | None = None, finished: bool | None = None) -> Run | None:
    """The newest run of an experiment, full or quick, finished or not."""
    for run in newest_first(results, name):  # not more of them than it takes
        if why_unreadable(run) is not None:
            continue
        facts = run.facts
        if full is not None and facts["full"] != full:
            continue
        if finished is not None and (facts["status"] == "finished") != finished:
            continue
        return run
    return None


def ranked(results: Path, name: str) -> list[Run]:
    """Runs of an experiment, the one to show first: finished full ones, then finished ones, then others, newest first."""
    facts = [(run, run.facts) for run in runs(results, name)]
    return [
        run
        for run, its in sorted(facts, key=lambda one: (one[1]["status"] != "finished", not one[1]["full"]))
    ]


def first(results: Path, name: str) -> Run | None:
    """The first of `ranked`, without reading them all."""
    for kind in ({"full": True, "finished": True}, {"finished": True}, {"full": True}, {}):
        if (run := newest(results, name, **kind)) is not None:
            return run
    return None
