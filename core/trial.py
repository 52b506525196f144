"""What a subject implements and may use. Imports no torch, and of ours only the leaf `two_cuts`.

A subject is a folder below `core/`, or a single file of yours, whose `trial.py` defines

* `Params`, a subclass of the one below: every knob with its type and default, and
* exactly one of `case` (the runner times it) and `trial` (it trains and records by itself):

      def case(params: Params, context: Context) -> Case
      def trial(params: Params, context: Context) -> Mapping[str, float]

A variant of an experiment is a name and what it changes in `Params`. A field called `implementation` that a variant
leaves unset is the variant's own name, so `online: {}` needs no second mention of `online`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from .two_cuts import Cut as Cut
from .two_cuts import TwoCuts as TwoCuts


class Params(BaseModel):
    """The knobs of a subject. Unknown names are refused, so a slip of the pen never runs.

    A text may name a function of the user's, `./file.py:function`, and a field whose type is `Path` names a file or a
    folder: relative to the experiment file, absolute in a trial, and with a digest in the run. Validators find what they
    need of these in `info.context`, see `Nearby`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Refused(Exception):
    """This variant does not do this: "head_dim must be 64 or 128". Neither wrong nor failed, and never timed."""


class Wrong(Exception):
    """This variant computes something else.

    Args:
        case: the first failing case, in words that let a reader build it again.
        error: the largest absolute error seen, in the units of the result.
        allowed: the largest error that the rule permits.
    """

    def __init__(self, case: str, error: float, allowed: float) -> None:
        super().__init__(case, error, allowed)
        self.case, self.error, self.allowed = case, error, allowed

    def __str__(self) -> str:
        return f"{self.case}: error {self.error:.2g}, allowed {self.allowed:.2g}"


@dataclass(frozen=True)
class Case:
    """One variant at one point, its inputs made.

    Attributes:
        call: the timed work and nothing else.
        check: compares with a float64 reference and returns counted metrics (errors, accesses); raises `Wrong`.
            Runs in a process of its own, before anything is timed.
        work: what one call has to do at least, for rates: "operations" (floating-point), "bytes" (moved), and
            whatever else is known without running.
        kernel: where somebody else's code chooses among several, the one that really ran inside `call`. Shown behind
            the variant's name.
    """

    call: Callable[[], object]
    check: Callable[[], Mapping[str, float]]
    work: Mapping[str, float]
    kernel: Callable[[], str] | None = None


class Nearby(Protocol):
    """What a validator of `Params` is given as `info.context` while an experiment is read; at other times that is None."""

    def path(self, path: Path) -> Path:
        """The absolute path."""

    def load(self, reference: str) -> Callable[..., Any]:
        """The function named by "./file.py:function".

        Raises:
            ValueError: with a message for the person who wrote the reference.
        """


class Context(Protocol):
    """What a running trial may ask of the runner.

    Attributes:
        variant: the variant's name in the experiment file.
        seed: the replicate's seed; the same for all variants of that replicate.
        device: "cpu" or "cuda".
        threads: how many threads torch has been given.
        folder: the trial's own folder inside the run; what it writes there stays.
    """

    variant: str
    seed: int
    device: str
    threads: int
    folder: Path

    def record(self, step: int | None = None, **metrics: float) -> None:
        """Append one row of metrics, flushed at once; with `step` it becomes a point of a curve."""

    def progress(self, done: int, of: int) -> None:
        """Tell the live view how far this trial is."""

    def sample(self, step: int, text: str | TwoCuts) -> None:
        """Keep a piece of text to show beside the curves, such as a generated answer, or one that is cut in two ways.

        What all variants keep alike is drawn once.
        """

    def save(self, state: Any) -> None:
        """Write a checkpoint, atomically; the previous one is replaced.

        Raises:
            TypeError: there is something in it besides numbers, texts, lists, tuples, sets, mappings and tensors.
        """

    def restore(self) -> Any:
        """The last checkpoint, or None; one that cannot be read is none, and the result says so."""

    def cached(self, key: str, make: Callable[[Path], None]) -> Path:
        """A folder made once per `key` and shared by all runs on this machine: a base model, a teacher's outputs.

        One that is no longer as it was made is made anew, and the result says so.
        """

    def load(self, reference: str) -> Callable[..., Any]:
        """The function named by "./file.py:function".

        The path is relative to the experiment file, or with `--add` and `-s` to where the command was typed. The file
        is copied with its digest into the run.

        Raises:
            FileNotFoundError, AttributeError: with a message for the person who wrote the reference.
        """
