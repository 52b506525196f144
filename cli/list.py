"""`lab list`: experiments by name, paper or word."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.experiment.discovery import BUILT_IN, experiment_files
from ..core.experiment.document import read
from ..core.suggest import nearest
from .options import Json, Word
from .overviews import experiments, experiments_table
from .screen import out, print_json, stop


def list_experiments(
    word: Word = None,
    format: Annotated[str, typer.Option(help="table or markdown")] = "table",
    json: Json = False,
) -> None:
    """Experiments: by name, paper or word: lab list milakov"""
    if format not in ("table", "markdown"):
        stop(f"--format {format}: table or markdown")
    if format == "markdown":
        out().print(markdown_table(), markup=False, soft_wrap=True)
        return
    found = list(experiments(word))
    if json:
        keys = ("name", "title", "question", "sources")
        print_json(
            [
                {key: data.get(key) for key in keys} | {"claims": len(data.get("claims") or [])}
                for data in found
            ]
        )
        return
    if not found:
        stop(f"nothing about {word}.{nearest(word or '', experiment_files())}    all: lab list", code=0)
    out().print(experiments_table(found))


def markdown_table() -> str:
    """The built-in experiments as the README shows them."""
    lines = ["| experiment | asks | claims |", "|:-|:-|-:|"]
    for path in sorted(BUILT_IN.glob("*.yaml")):
        data = read(path).data
        lines.append(f"| `{data['name']}` | {data['question']} | {len(data['claims'])} |")
    return "\n".join(lines)
