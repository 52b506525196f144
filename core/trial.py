"""What a subject implements and may use. Imports no torch, and of ours only the leaves `two_cuts`, `search_tree` and `heat_map`.

A subject is a folder below `core/`, or a single file of yours, whose `trial.py` defines

* `Params`, a subclass of the one below: every parameter with its type and default, and
* exactly one of `case` (the runner times it) and `trial` (it trains and records by itself):

      def case(params: Params, context: Context) -> Case
      def trial(params: Params, context: Context) -> Mapping[str, float]

One that has compiled code may also say which of it parameters need. It is then compiled before, side by side:

      def kernels(params: Params) -> Sequence[Kernel]

A variant of an experiment is a name and what it changes in `Params`. A field called `implementation` that a variant
leaves unset is the variant's own name, so `online: {}` needs no second mention of `online`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from .heat_map import HeatMap as HeatMap
from .search_tree import SearchTree as SearchTree
from .search_tree import TreeStep as TreeStep
from .two_cuts import Cut as Cut
from .two_cuts import TwoCuts as TwoCuts

Drawn = TwoCuts | SearchTree | HeatMap  # what a report draws of a trial, beside its texts


class Params(BaseModel):
    """The parameters of a subject. An unknown name is an error.

    A text may name a function of the user's, `./file.py:function`; a field whose type is `Path` names a file or a folder.
    Both are relative to the experiment file; a trial gets them with absolute paths, and a run keeps their digests. A
    validator loads them by `info.context`, see `Nearby`. The text below a field is what `lab params` says of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Refused(Exception):
    """The variant does not support these parameters: "head_dim must be 64 or 128". Neither wrong nor failed; never timed."""


class Wrong(Exception):
    """The variant computes a wrong result.

    Args:
        case: the first failing case, in words from which a reader can build it.
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
    """One variant at one point, with its inputs.

    Attributes:
        call: the timed work and nothing else.
        check: compares with a float64 reference and returns counted metrics (errors, accesses); raises `Wrong`.
            Runs in a process of its own, before anything is timed.
        work: the least work of one call, for rates: "operations" (floating-point), "bytes" (moved), and other counts that
            need no run.
        kernel: the name of the kernel that ran inside `call`, where a library chooses among several. Shown behind the
            variant's name.
    """

    call: Callable[[], object]
    check: Callable[[], Mapping[str, float]]
    work: Mapping[str, float]
    kernel: Callable[[], str] | None = None


@dataclass(frozen=True)
class Kernel:
    """Compiled code for arguments of certain types; two of one name are the same.

    Attributes:
        name: such as "softmax safe-numba float32".
        together: the kernels of one such word share inner functions, so one process compiles them, one after the other.
        seconds: about how long that takes, on one core of a machine like that of `takes` in the experiment files.
        call: calls it with next to nothing, so that it is compiled, or loaded where an earlier process has compiled it.
    """

    name: str
    together: str
    seconds: float
    call: Callable[[], object]


class Nearby(Protocol):
    """What validators of `Params` get as `info.context` while an experiment file is read; at other times it is None."""

    def path(self, path: Path) -> Path:
        """The absolute path."""

    def load(self, reference: str) -> Callable[..., Any]:
        """The function named by "./file.py:function".

        Raises ValueError: with a message for the person who wrote the reference.
        """


class Context(Protocol):
    """What the runner offers to a running trial.

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

    def progress(self, done: int, of: int, what: str = "") -> None:
        """Show in the live view how far this trial is, and with what: `base model`; empty for its own training."""

    def sample(self, step: int, text: str | Drawn) -> None:
        """Keep a text to show beside the curves, such as a generated answer, a text under two tokenizers, a search tree, or a
        heat map.

        A drawing that several variants keep is shown once.
        """

    def save(self, state: Any) -> None:
        """Write a checkpoint, atomically; the previous one is replaced.

        Raises TypeError: the state holds something besides numbers, texts, lists, tuples, sets, mappings and tensors.
        """

    def restore(self) -> Any:
        """The last checkpoint, or None. One that cannot be read counts as none, and a note of the run says so."""

    def cached(self, key: str, make: Callable[[Path], None]) -> Path:
        """A folder made once per `key` and shared by all runs on this machine: a base model, a teacher's outputs.

        A folder that has changed since is made again, and a note of the run says so.
        """

    def load(self, reference: str) -> Callable[..., Any]:
        """The function named by "./file.py:function".

        The path is relative to the experiment file, or with `--add` and `-s` to where the command was typed. The file
        is copied with its digest into the run.

        Raises FileNotFoundError, AttributeError: with a message for the person who wrote the reference.
        """


def seeded(context: Context, first_seed: int) -> Context:
    """The same context with a seed that is `first_seed` higher: what is tuned on some seeds is judged on others."""
    moved = copy.copy(context)
    moved.seed += first_seed
    return moved
