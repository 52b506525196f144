"""The options of `lab run`, as one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..core.experiment.request import Request


@dataclass(frozen=True)
class RunOptions:
    """How to run an experiment; `request` says what to change in its file."""

    request: Request = field(default_factory=Request)
    device: str = "auto"
    threads: tuple[int, ...] = ()  # of each trial; several: an axis
    workers: int | None = None
    resume: str | None = None  # the letters of a run; "": the newest unfinished full one
    retry_failed: bool = False
    until: bool = False  # until each claim is settled
    budget: float | None = None  # seconds for that
    label: str = ""
    results: Path = Path("results")
    dry_run: bool = False
    json: bool = False
    fail_on: frozenset[str] = frozenset()
