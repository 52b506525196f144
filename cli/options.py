"""Arguments and options that several commands take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else")]
ResultsFolder = Annotated[
    Path, typer.Option("--results", envvar="LAB_RESULTS", help="Folder that runs are written to")
]
Word = Annotated[str | None, typer.Argument(help="Name, paper or any word")]


def results_folder() -> Path:
    """Where runs are looked for by a command without --results."""
    return Path(os.environ.get("LAB_RESULTS") or RESULTS)


def results_words(folder: Path) -> list[str]:
    """What a command to paste needs, so that it finds this folder; nothing where it would anyway. `shlex.join` quotes it."""
    return [] if folder == results_folder() else ["--results", str(folder)]
