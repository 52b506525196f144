"""Writing experiments: `lab validate` and `lab new`."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..core.experiment.discovery import BUILT_IN
from .experiment_file import path_of
from .screen import out, print_json, stop, table

TEMPLATES = Path(__file__).resolve().parent / "templates"


def validate(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A file or the name of an experiment")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of experiment files, for editors")
    ] = False,
    results: Annotated[Path, typer.Option("--results", help="Folder of earlier runs")] = Path("results"),
    json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else")
    ] = False,
) -> None:
    """Check an experiment file and each of its presets; warn of claims that say less than they seem to; say how likely
    each sampled claim is to be settled.

    Imports, and so executes, the Python file named in the experiment's trial: line.
    """
    if schema:
        from ..core.experiment.schema import Experiment

        print_json(Experiment.model_json_schema())
        return
    if file is None:
        stop("which file? lab validate FILE")
    from ..core.experiment.load import validate as check
    from ..core.experiment.warnings import warnings
    from ..core.run.folder import newest
    from ..core.run.plan import plan

    path = path_of(file)
    loaded = check(path)
    experiment = loaded.experiment
    last = newest(results, experiment.name, full=True, finished=True) or newest(
        results, experiment.name, finished=True
    )
    chances: dict[str, float | None] = {}
    if last is not None:
        from ..core.analysis.verdicts import chances as chances_of
        from ..core.run.results import gather

        chances = chances_of(gather(last).verdicts, experiment.replicates)
    found = warnings(experiment, loaded.document)
    if json:
        told = [asdict(one.mark) | {"claim": one.claim, "message": one.message} for one in found]
        known = {"file": str(path), "valid": True, "trials": len(plan(loaded)), "chances": chances}
        print_json(known | {"warnings": told})
        return
    screen = out()
    counted = f", {len(found)} warning{'s' * (len(found) > 1)}" if found else ""
    screen.print(
        escape(f"{file}: fine; {len(plan(loaded))} trials, {len(experiment.claims)} claims{counted}")
    )
    for one in found:
        screen.print(escape(str(one)), soft_wrap=True)
    if chances and last is not None:
        noun = "repeats" if experiment.repeats else "seeds"
        screen.print(
            f"how likely {experiment.replicates} {noun} settle a claim, from the spread of run {last.id}:"
        )
        shares = [
            [escape(claim), "unknown" if share is None else f"{share:.0%}"]
            for claim, share in chances.items()
        ]
        screen.print(table(["claim", ">chance"], shares))


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
