"""Which variants of an experiment are the user's own: tables show them right after the baseline."""

from __future__ import annotations

import re
from typing import Any

from .discovery import BUILT_IN
from .document import Document, read
from .schema import Experiment


def own_variants(experiment: Experiment, document: Document) -> list[str]:
    """What a command added to its file (`--add`, `-s variants.NEW.…`), and what a file has that no built-in experiment of the
    same subject has: of a copy by `lab new --from`, the new ones. All of a subject of the user's own are as new."""
    in_file, built_in = _variants(document.data), _built_in(experiment.trial)
    return [
        name for name in experiment.variants if name not in in_file or (built_in and name not in built_in)
    ]


def _built_in(trial: str) -> set[str]:
    line = re.compile(rf"^trial: *{re.escape(trial)} *(#|$)", re.MULTILINE)
    files = (path for path in BUILT_IN.glob("*.yaml") if line.search(path.read_text(encoding="utf-8")))
    return {name for path in files for name in _variants(read(path).data)}


def _variants(data: dict[str, Any]) -> set[str]:
    """Those of a file, and of its presets."""
    parts = [data, *(data.get("presets") or {}).values()]
    return {name for part in parts for name in part.get("variants") or {}}
