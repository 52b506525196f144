"""The changes to an experiment that a command line asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """Applied in this order: preset, added variants, pass, sets, replicates, choice of variants."""

    preset: str | None = None
    direction: str | None = None  # --pass
    sets: tuple[str, ...] = ()  # key=value
    add: tuple[str, ...] = ()  # name=./file.py:function
    variants: tuple[str, ...] = ()  # only these; all when empty
    repeats: int | None = None
    seeds: int | None = None
    folder: Path = field(default_factory=Path.cwd)  # what ./file.py:function in -s and --add is relative to
