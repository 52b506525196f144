"""`lab new`: write an experiment to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ..core.experiment.discovery import BUILT_IN
from .screen import out, stop

TEMPLATES = Path(__file__).resolve().parent / "templates"


def new(name: Annotated[str, typer.Argument(help="What to call it: letters, digits and hyphens")]) -> None:
    """Write a commented experiment and a small trial that run at once."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        stop(f"{name}: a name is small letters, digits and hyphens")
    folder = Path("experiments")
    module = f"{name.replace('-', '_')}_trial.py"
    made = {folder / f"{name}.yaml": "experiment.yaml", folder / module: "trial.py"}
    schema = folder / "schema.json"  # named by the first line of the YAML file, for editors
    for path in made:
        if path.exists():
            stop(f"{path} is there already; choose another name")
    folder.mkdir(exist_ok=True)
    for path, template in made.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        path.write_text(text.replace("NAME", name).replace("MODULE", module), encoding="utf-8")
        out().print(f"wrote {path}")
    if not schema.exists():
        schema.write_text((BUILT_IN / "schema.json").read_text(encoding="utf-8"), encoding="utf-8")
        out().print(f"wrote {schema}")
    out().print(f"\nnext  [command]lab validate {name}[/] · [command]lab run {name}[/]")
