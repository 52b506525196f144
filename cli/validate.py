"""`lab validate`: what is wrong with an experiment file, and how likely its claims are to be settled."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from .experiment_file import path_of
from .options import RESULTS, Json, ResultsFolder
from .screen import out, print_json, stop, table


def validate(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A file or the name of an experiment")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of experiment files, for editors")
    ] = False,
    results: ResultsFolder = RESULTS,
    json: Json = False,
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
        warned = [asdict(one.position) | {"claim": one.claim, "message": one.message} for one in found]
        data = {"file": str(path), "valid": True, "trials": len(plan(loaded)), "chances": chances}
        print_json(data | {"warnings": warned})
        return
    screen = out()
    counted = f", {len(found)} warning{'s' * (len(found) > 1)}" if found else ""
    screen.print(
        escape(f"{file}: fine; {len(plan(loaded))} trials, {len(experiment.claims)} claims{counted}")
    )
    for one in found:
        screen.print(escape(str(one)), soft_wrap=True)
    if chances and last is not None:
        noun = f"{experiment.noun}s"
        screen.print(
            f"how likely {experiment.replicates} {noun} settle a claim, from the spread of run {last.id}:"
        )
        shares = [
            [escape(claim), "unknown" if share is None else f"{share:.0%}"]
            for claim, share in chances.items()
        ]
        screen.print(table(["claim", ">chance"], shares))
