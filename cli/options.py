"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else")]
ResultsFolder = Annotated[Path, typer.Option("--results", help="Folder that runs are written to")]
Word = Annotated[str | None, typer.Argument(help="Name, paper or any word")]
