"""`lab export`: a run for TensorBoard or MLflow."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .options import RESULTS, Json, ResultsFolder
from .screen import err, people, print_json, stop, waiting


def export(
    run: Annotated[
        str, typer.Argument(help="A run's letters or folder, or an experiment: its newest full run")
    ],
    to: Annotated[str, typer.Option(help="tensorboard or mlflow")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to write to; ./tensorboard or ./mlflow unless said"),
    ] = None,
    results: ResultsFolder = RESULTS,
    json: Json = False,
) -> None:
    """A run for TensorBoard or MLflow: parameters, curves, final metrics, claims, plots.

    lab export grpo --to tensorboard
    """
    from ..core.results import load
    from ..core.tracking import NEEDED, NotInstalled, check_that_it_is_installed, to_mlflow, to_tensorboard

    if to not in NEEDED:
        stop(f"--to {to}: {' or '.join(NEEDED)}")
    try:
        check_that_it_is_installed(to)
        loaded = load(run, results)
    except (NotInstalled, FileNotFoundError, ValueError) as error:
        stop(error)
    folder = out or Path(to)
    screen = people(json)
    with waiting(err(), f"writing run {loaded.id} of {loaded.facts['experiment']} …"):
        written = str((to_tensorboard if to == "tensorboard" else to_mlflow)(loaded, folder))
    if json:
        print_json({"run": loaded.id, "to": to, "written": written})
        return
    look = ["tensorboard", "--logdir", str(folder)]
    if to == "mlflow":
        look = ["mlflow", "ui", "--backend-store-uri", written]
    screen.print(f"run {loaded.id} is in {escape(written)}", soft_wrap=True)
    screen.print(f"next  [command]{escape(shlex.join(look))}[/]", soft_wrap=True)
