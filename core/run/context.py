"""The context of a running trial: `core.trial.Context` on top of its folder."""

from __future__ import annotations

import hashlib
import math
import operator
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import replacing, sync, write
from ..cache_folder import cache_folder
from ..experiment.subject import NoSubject, load_function, reference
from ..own_files import digest
from ..trial import Drawn
from .files import append_line

if TYPE_CHECKING:
    from filelock import BaseFileLock

CHECKPOINT = "state.pt"
SHOWN = 2000  # characters of a sample that the live view gets


class NotFinite(Exception):
    """A metric is NaN: the trial ends here, and is recorded so."""


@dataclass
class TrialContext:
    """The `Context` of one trial; `core/trial.py` says what each member means."""

    variant: str
    seed: int
    device: str
    threads: int
    folder: Path
    base: Path  # references are relative to it
    send: Callable[[tuple[Any, ...]], None] = field(default=lambda message: None)
    notes: list[str] = field(default_factory=list)  # what a reader of the results should know

    def record(self, step: int | None = None, **metrics: float) -> None:
        step = None if step is None else _whole("step", step)
        values = {name: float(value) for name, value in metrics.items()}
        append_line(self.folder / "records.jsonl", {"step": step, **values})
        self.send(("metrics", step, values))
        for name, value in values.items():
            if math.isnan(value):
                raise NotFinite(f"{name} is NaN" + ("" if step is None else f" at step {step}"))

    def progress(self, done: int, of: int, what: str = "") -> None:
        self.send(("progress", _whole("done", done), _whole("of", of), str(what)))

    def sample(self, step: int, text: str | Drawn) -> None:
        if not isinstance(text, str | Drawn):
            what = "a sample is a text, a TwoCuts, a SearchTree or a HeatMap"
            raise TypeError(f"{what}, not {type(text).__name__}")
        step, kept = _whole("step", step), text if isinstance(text, str) else text.model_dump()
        append_line(self.folder / "records.jsonl", {"step": step, "sample": kept})
        if isinstance(text, str):  # a line of the live view has no room for a drawing
            self.send(("sample", step, text[:SHOWN]))

    def save(self, state: Any) -> None:
        import torch

        folder = self.folder / "checkpoint"
        folder.mkdir(exist_ok=True)
        kept = _plain(state, "the state")
        with replacing(folder / CHECKPOINT) as file:
            torch.save(kept, file)

    def restore(self) -> Any:
        import torch

        path = self.folder / "checkpoint" / CHECKPOINT
        if not path.exists():
            return None
        try:
            # Results may come from anywhere: nothing in them is run.
            return torch.load(path, weights_only=True)
        except Exception as error:  # whatever a damaged file makes of its reader
            path.replace(path.with_suffix(".unreadable"))
            self._note(f"its checkpoint could not be read ({type(error).__name__}), so it began anew")
            return None

    def cached(self, key: str, make: Callable[[Path], None]) -> Path:
        from filelock import FileLock

        home = cache_folder()
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        made, proof, unfinished = home / name, home / f"{name}.digest", home / f"{name}.unfinished"
        home.mkdir(parents=True, exist_ok=True)
        with self._locked(FileLock(home / f"{name}.lock")):
            shutil.rmtree(unfinished, ignore_errors=True)  # of one that was killed
            if made.exists():
                if proof.exists() and proof.read_text() == digest(made):
                    return made
                self._note(f"{name} in the cache is not, or not surely, as it was made; made anew")
            try:
                (content := unfinished / name).mkdir(parents=True)
                make(content)
                sync(*content.rglob("*"), content)
                if made.exists():  # moved away, not emptied: whoever has it open keeps what it has
                    made.replace(unfinished / "old")
                write(proof, digest(content))
                content.rename(made)
                sync(home)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            return made

    def _locked(self, lock: BaseFileLock) -> AbstractContextManager[object]:
        """The lock, taken; where another trial holds it, the live view says what this one waits for."""
        from filelock import Timeout

        try:
            return lock.acquire(blocking=False)
        except Timeout:
            self.send(("progress", 0, 0, "waits for another trial, which makes what both need"))
            return lock.acquire()

    def _note(self, text: str) -> None:
        print(text, file=sys.stderr)
        self.notes.append(text)
        self.send(("note", text))

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


def _plain(value: Any, where: str) -> Any:
    """The same in types that are read without running anything.

    Raises TypeError: there is something else in it; says where.
    """
    import torch

    if value is None or isinstance(value, torch.Tensor | bytes):
        return value
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "ndim", 0):
        return value.item()
    scalars: tuple[Any, ...] = (bool, int, float, complex, str)
    for kind in scalars:
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(each, f"{where}[{key!r}]") for key, each in value.items()}
    for several in (list, tuple, set):
        if isinstance(value, several):
            return several(_plain(each, f"{where}[{index}]") for index, each in enumerate(value))
    raise TypeError(
        f"a checkpoint holds numbers, texts, lists, tuples, sets, mappings and tensors; {where} is a {type(value).__name__}"
    )
