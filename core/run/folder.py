"""The folder of a run: made exclusively, found again, read. The files in it are the truth about the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import lock
from .files import Damaged, read_json, write_json

if TYPE_CHECKING:  # `lab list` reads old runs, and has no time to import the schema
    from .plan import Trial

# Without these a file was not written by lab, or not to its end.
KNOWN_OF_A_RUN = {"experiment", "version", "started", "seconds", "status", "full", "preset", "label"}
KNOWN_OF_A_TRIAL = {"kind", "variant", "point", "replicate", "status", "reason"}


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
        """run.json; a run whose lock nobody holds is `interrupted`, whatever it last wrote.

        Raises:
            Damaged: it is not what was written.
        """
        facts = read_json(self.folder / "run.json")
        if not facts.keys() >= KNOWN_OF_A_RUN:
            raise Damaged(self.folder / "run.json")
        if facts["status"] == "running" and not lock.is_held(self.lock):
            facts["status"] = "interrupted"
        return facts

    @property
    def lock(self) -> Path:
        """The file that whoever works on the run holds a lock on, for life."""
        return self.folder / "lock"

    def tell(self, **changes: Any) -> None:
        """Change run.json."""
        path = self.folder / "run.json"
        write_json(path, (read_json(path) if path.exists() else {}) | changes)

    @property
    def is_finished(self) -> bool:
        return bool(self.facts["status"] == "finished")

    @property
    def environment(self) -> dict[str, Any]:
        """environment.json, with the machine's peaks once they are measured."""
        facts = read_json(self.folder / "environment.json")
        if (peaks := self.result("peaks")) is not None:
            facts["peaks"] = peaks.get("metrics", {})
        return facts

    @property
    def experiment_text(self) -> str:
        return (self.folder / "experiment.yaml").read_text(encoding="utf-8")

    def of(self, trial: Trial | str) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / (trial if isinstance(trial, str) else trial.key)

    def result(self, trial: Trial | str) -> dict[str, Any] | None:
        """What a trial ended with, see `result_in`."""
        return result_in(self.of(trial))

    def results(self) -> list[dict[str, Any]]:
        """Every finished trial, in the order of their names."""
        return [result for path in self._trial_files() if (result := result_in(path.parent)) is not None]

    def to_try_again(self, failed: bool = False) -> list[Path]:
        """The ends of trials that the machine ended; with `failed` those of all that failed or took too long."""
        return [
            path
            for path in self._trial_files()
            if (result := result_in(path.parent)) is not None
            and result["status"] in ("failed", "timeout")
            and (failed or result.get("cause") == "machine")
        ]

    def damaged(self) -> list[str]:
        """The names of trials whose end can no longer be read; a run that goes on does them again."""
        return [path.parent.name for path in self._trial_files() if result_in(path.parent) is None]

    def _trial_files(self) -> list[Path]:
        return sorted((self.folder / "trials").glob("*/trial.json"))


def runs(results: Path, name: str | None = None) -> list[Run]:
    """All runs that can be read, the newest first."""
    found = [Run(path.parent) for path in results.glob(f"{name or '*'}/*/run.json")]
    return sorted(filter(_is_readable, found), key=lambda run: run.folder.name, reverse=True)


def _is_readable(run: Run) -> bool:
    try:
        return bool(run.facts)
    except OSError:
        return False


def result_in(folder: Path) -> dict[str, Any] | None:
    """What the trial of this folder ended with; None while it has not, or when that can no longer be read."""
    try:
        result = read_json(folder / "trial.json")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, Damaged):
        return None
    return result if result.keys() >= KNOWN_OF_A_TRIAL else None


def newest(results: Path, name: str, *, full: bool | None = None, finished: bool | None = None) -> Run | None:
    """The newest run of an experiment, full or quick, finished or not."""
    for run in runs(results, name):
        facts = run.facts
        if full is not None and facts["full"] != full:
            continue
        if finished is not None and (facts["status"] == "finished") != finished:
            continue
        return run
    return None


def by_id(results: Path, name: str, letters: str) -> Run | None:
    """The run known by these letters (or its folder's whole name)."""
    return next((run for run in runs(results, name) if letters in (run.id, run.folder.name)), None)
