"""A run for other tools: TensorBoard's event files, or MLflow's SQLite store.

Both get the parameters of every replicate, its curves by step and its final metrics, and of the whole run the claims with their
verdicts and the plots. Needs the extra `track`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .experiment.schema import AGAIN, point_words
from .results import RunResults

NEEDED = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
MOST_IN_A_BATCH = 1000  # metrics that MLflow takes at once
LONGEST_PARAMETER = 6000  # characters that MLflow's store takes


class NotInstalled(Exception):
    """A package of the extra `track` is missing; the message says which, and how to get it."""


@dataclass(frozen=True)
class Replicate:
    """One variant at one point, once: a seed of a training, a process of a timing.

    Attributes:
        number: from 0.
        params: all of its parameters, those that the file leaves at their defaults too.
        metrics: its figures at the end.
        curves: (step, value) by metric, in the order of steps.
    """

    variant: str
    point: Mapping[str, Any]
    number: int
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.variant, point_words(self.point), f"#{self.number}") if part)


def replicates(run: RunResults) -> Iterator[Replicate]:
    """Every replicate of a run that has a figure or a curve; not the second turn of a control."""
    experiment = run.results.experiment
    keys = ["variant", *experiment.point_keys, "replicate"]
    finals = {_key(row, keys): row for row in run.metrics.to_dict("records")}
    curves: dict[tuple[Any, ...], dict[str, list[tuple[int, float]]]] = {}
    for row in run.curves.sort_values("step").to_dict("records"):
        curves.setdefault(_key(row, keys), {}).setdefault(row["metric"], []).append(
            (row["step"], row["value"])
        )
    for key in dict.fromkeys([*finals, *curves]):
        variant, *values, number = key
        if variant.endswith(AGAIN):
            continue
        point = dict(zip(experiment.point_keys, values, strict=True))
        given = experiment.variants[variant].params if variant in experiment.variants else {}
        row = finals.get(key, {})
        yield Replicate(
            variant,
            point,
            number,
            {**run.facts.get("params", {}), **experiment.params, **given, **point},
            {name: row[name] for name in experiment.metrics if name in row and row[name] == row[name]},
            curves.get(key, {}),
        )


def _key(row: Mapping[Any, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[key] for key in keys)


def check_that_it_is_installed(tool: str) -> None:
    """Raise NotInstalled where a package that the tool needs is missing."""
    if missing := [package for package in NEEDED[tool] if find_spec(package) is None]:
        raise NotInstalled(
            f"--to {tool} needs {' and '.join(missing)}, not installed here: pip install 'paperlab[track]'"
        )


def to_tensorboard(run: RunResults, out: Path) -> Path:
    """Write a run as event files; those of an earlier export of the same run are replaced.

    Returns:
        `out/<experiment>/<folder of the run>`: claims and plots, and below it a folder for each replicate.

    Raises:
        NotInstalled: without TensorBoard.
        OSError: the folder cannot be written.
    """
    check_that_it_is_installed("tensorboard")
    SummaryWriter: Any = import_module("torch.utils.tensorboard").SummaryWriter
    whole = out / str(run.facts["experiment"]) / run.folder.name
    for old in whole.rglob("events.out.tfevents.*"):
        old.unlink()
    for one in replicates(run):
        with SummaryWriter(str(whole / one.name.replace("/", "_"))) as writer:
            for metric, curve in one.curves.items():
                for step, value in curve:
                    writer.add_scalar(metric, value, step)
            params = {name: _simple(value) for name, value in {"variant": one.variant, **one.params}.items()}
            finals = {f"final/{name}": value for name, value in one.metrics.items()}
            writer.add_hparams(params, finals, run_name=".")
    with SummaryWriter(str(whole)) as writer:
        writer.add_text("summary", run.summary)
        for claim in run.claims.to_dict("records"):
            writer.add_text(f"claims/{claim['claim']}", _claim_in_markdown(claim))
        for name in run.plots:
            writer.add_image(f"plots/{name}", _pixels(run, name), dataformats="HWC")
    return whole


def _simple(value: Any) -> Any:
    """As a hyperparameter of TensorBoard: a number, a text or a truth."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _claim_in_markdown(claim: Mapping[Any, Any]) -> str:
    paper = "" if claim["paper"] is None else f", paper: {claim['paper']}"
    lines = [
        f"**{claim['word']}**: {claim['says']}",
        f"here: {claim['here'] or 'no figure'}{paper}",
        claim["detail"],
    ]
    return "\n\n".join(filter(None, [*lines, f"source: {claim['source']}"]))


def _pixels(run: RunResults, name: str) -> Any:
    """(height, width, 3)"""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(run.plot(name))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def to_mlflow(run: RunResults, out: Path) -> str:
    """Write a run into `out/mlflow.db`, its artifacts beside it; an earlier export of the same run is deleted there.

    The run is one of MLflow's, with claims as tags, as metrics and as a table; each replicate is a run nested in it.

    Returns:
        The address of the store, `sqlite:///…`.

    Raises:
        NotInstalled: without MLflow, SQLAlchemy or Alembic.
        OSError: the folder cannot be written.
    """
    check_that_it_is_installed("mlflow")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing of a run leaves this machine
    MlflowClient: Any = import_module("mlflow").MlflowClient
    named: Any = import_module("mlflow.utils.mlflow_tags")
    for talkative in ("mlflow", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    store = f"sqlite:///{out.resolve() / 'mlflow.db'}"
    client, name = MlflowClient(store), str(run.facts["experiment"])
    known = client.get_experiment_by_name(name)
    experiment = (
        known.experiment_id
        if known
        else client.create_experiment(name, (out.resolve() / "artifacts" / name).as_uri())
    )
    while old := client.search_runs([experiment], f"tags.`lab.run` = '{run.folder.name}'"):  # a page of them
        for each in old:
            client.delete_run(each.info.run_id)

    tags = {
        "lab.run": run.folder.name,
        "lab.version": str(run.facts["version"]),
        "lab.command": str(run.facts.get("command", "")),
    }
    verdicts = {f"lab.claim.{row['claim']}": row["word"] for row in run.claims.to_dict("records")}
    parent = client.create_run(
        experiment,
        tags=tags
        | verdicts
        | {named.MLFLOW_RUN_NAME: f"{name} {run.id}", "mlflow.note.content": run.summary},
    ).info.run_id
    settings = {key: run.facts.get(key) for key in ("preset", "device", "threads", "label")}
    estimates = {
        f"claim/{row['claim']}": row["estimate"]
        for row in run.claims.dropna(subset="estimate").to_dict("records")
    }
    _log(client, parent, {**run.results.experiment.params, **settings}, estimates, {})
    for table in ("claims", "comparison"):
        client.log_text(parent, getattr(run, table).to_csv(index=False), f"{table}.csv")
    for plot in run.plots:
        client.log_figure(parent, run.plot(plot), f"plots/{plot}.png", save_kwargs={"facecolor": "white"})
    for one in replicates(run):
        of = {named.MLFLOW_RUN_NAME: one.name, named.MLFLOW_PARENT_RUN_ID: parent, "lab.run": run.folder.name}
        child = client.create_run(experiment, tags=of).info.run_id
        _log(
            client,
            child,
            {"variant": one.variant, "replicate": one.number, **one.params},
            one.metrics,
            one.curves,
        )
        client.set_terminated(child)
    client.set_terminated(parent)
    return store


def _log(
    client: Any,
    run_id: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    curves: Mapping[str, Sequence[tuple[int, float]]],
) -> None:
    """Parameters, curves, and final figures under `final/…` where a curve has the same name."""
    entities: Any = import_module("mlflow.entities")
    Metric, Param = entities.Metric, entities.Param
    finals = [
        Metric(_name(f"final/{name}" if name in curves else name), value, 0, 0)
        for name, value in metrics.items()
    ]
    points = [Metric(_name(name), value, 0, step) for name, curve in curves.items() for step, value in curve]
    kept = [Param(_name(name), str(value)[:LONGEST_PARAMETER]) for name, value in params.items()]
    client.log_batch(run_id, params=kept)
    every = [*finals, *points]
    for first in range(0, len(every), MOST_IN_A_BATCH):
        client.log_batch(run_id, metrics=every[first : first + MOST_IN_A_BATCH])


def _name(text: str) -> str:
    """As a name of MLflow's: letters, digits, and some marks."""
    return re.sub(r"[^\w\-. :/]", "_", text)
