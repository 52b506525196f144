"""What a running trial is given: `core.trial.Context` on top of a folder."""

from __future__ import annotations

import hashlib
import math
import operator
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache_folder import cache_folder
from ..experiment.subject import NoSubject, load_function, reference
from ..trial import TwoCuts
from .files import append_line, write

SHOWN = 2000  # signs of a sample that the live view is told


class NotFinite(Exception):
    """A metric is NaN: the trial ends here, and is recorded so."""


@dataclass
class TrialContext:
    """The `Context` of one trial; see there for what each member means."""

    variant: str
    seed: int
    device: str
    threads: int
    folder: Path
    base: Path  # what references are relative to
    tell: Callable[[tuple[Any, ...]], None] = field(default=lambda message: None)

    def record(self, step: int | None = None, **metrics: float) -> None:
        step = None if step is None else _whole("step", step)
        values = {name: float(value) for name, value in metrics.items()}
        append_line(self.folder / "records.jsonl", {"step": step, **values})
        self.tell(("metrics", step, values))
        for name, value in values.items():
            if math.isnan(value):
                raise NotFinite(f"{name} is NaN" + ("" if step is None else f" at step {step}"))

    def progress(self, done: int, of: int) -> None:
        self.tell(("progress", _whole("done", done), _whole("of", of)))

    def sample(self, step: int, text: str | TwoCuts) -> None:
        if not isinstance(text, str | TwoCuts):
            raise TypeError(f"a sample is a text or a TwoCuts, not {type(text).__name__}")
        step, kept = _whole("step", step), text if isinstance(text, str) else text.model_dump()
        append_line(self.folder / "records.jsonl", {"step": step, "sample": kept})
        if isinstance(text, str):  # a line of the live view has no room for a drawing
            self.tell(("sample", step, text[:SHOWN]))

    def save(self, state: Any) -> None:
        folder = self.folder / "checkpoint"
        folder.mkdir(exist_ok=True)
        write(folder / "state.pickle", pickle.dumps(state))

    def restore(self) -> Any:
        path = self.folder / "checkpoint" / "state.pickle"
        return pickle.loads(path.read_bytes()) if path.exists() else None

    def cached(self, key: str, make: Callable[[Path], None]) -> Path:
        from filelock import FileLock

        home = cache_folder()
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f"{name}.lock"):
            made = home / name
            if not made.exists():
                with tempfile.TemporaryDirectory(dir=home) as unfinished:
                    content = Path(unfinished) / name
                    content.mkdir()
                    make(content)
                    content.rename(made)
            return made

    def load(self, text: str) -> Callable[..., Any]:
        try:
            return load_function(reference(text, self.base))
        except NoSubject as error:
            raise FileNotFoundError(str(error)) from error


def _whole(name: str, value: object) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r:.40}") from None
    if abs(number) >= 2**53:
        raise ValueError(f"{name} must be below 2^53, so that every reader keeps it exactly")
    return number
