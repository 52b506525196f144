"""The changes to an experiment that a command line asks for."""

from __future__ import annotations

from collections.abc import Collection
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

    def added_variants(self, in_file: Collection[str]) -> list[str]:
        """The variants that are added to those of the file: by `--add`, or by `-s variants.NEW.key=value`."""
        keys = (text.partition("=")[0].split(".") for text in self.sets)
        by_set = [
            key[1] for key in keys if len(key) > 2 and key[0].strip() == "variants" and key[1] not in in_file
        ]
        return list(dict.fromkeys([*(text.partition("=")[0] for text in self.add), *by_set]))
