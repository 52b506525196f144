"""`lab show`: one experiment."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.markup import escape

from ..core.experiment.document import read
from .experiment_file import path_of
from .options import RESULTS, Json, ResultsFolder
from .screen import duration, out, print_json, table, with_commas


def show(
    name: Annotated[str, typer.Argument(help="Name of an experiment, or a file")],
    results: ResultsFolder = RESULTS,
    json: Json = False,
) -> None:
    """One experiment: question, sources, variants, grid, how many trials, how long it took last time.

    Imports, and so executes, the Python file named in the experiment's trial: line.
    """
    from ..core.experiment.load import load_document
    from ..core.experiment.request import Request
    from ..core.run.folder import newest
    from ..core.run.plan import plan

    loaded = load_document(read(path_of(name)), Request())
    experiment, trials = loaded.experiment, plan(loaded)
    kinds = {kind: sum(trial.kind == kind for trial in trials) for kind in ("check", "time", "train")}
    last = newest(results, experiment.name, full=True, finished=True)
    took = float(last.facts["seconds"]) if last is not None else None
    if json:
        print_json(experiment.model_dump(mode="json") | {"trials": kinds, "took": took})
        return
    screen = out()
    screen.print(f"[name]{experiment.name}[/] · {escape(experiment.title)}\n{escape(experiment.question)}\n")
    for source in experiment.sources.values():
        screen.print(f"  source    {escape(source.title)}  [quiet]{escape(source.ref)}[/]")
    for tier, names in experiment.tiers.items():
        screen.print(
            f"  variants  {escape(', '.join(names))}" + (f"  [quiet]{escape(tier)}[/]" if tier else "")
        )
    for label, grid in (("axis", experiment.axes), *(("checked", grid) for grid in experiment.checks)):
        for axis, values in grid.items():
            screen.print(
                f"  {label:<9} {escape(axis)}: {escape(', '.join(with_commas(value) for value in values))}"
            )
    for key, value in experiment.params.items():
        screen.print(f"  fixed     {escape(key)}: {escape(with_commas(value))}")
    words = {"check": "checks", "time": "timing processes", "train": "training trials"}
    counted = " + ".join(f"{count} {words[kind]}" for kind, count in kinds.items() if count)
    screen.print(
        f"  trials    {counted}, {'took ' + duration(took) + ' last time' if took else 'not run here yet'}"
    )
    screen.print(f"  presets   {escape(', '.join(experiment.presets)) or 'none'}")
    screen.print()
    rows = [
        [escape(claim.says), escape(str(claim.paper or "")), escape(claim.source)]
        for claim in experiment.claims
    ]
    screen.print(table(["claim", "paper", "source"], rows, shorten=0))
    again = escape(shlex.join(["lab", "run", name]))
    screen.print(f"\nnext  [command]{again}[/] · [command]{again} --quick[/]")
