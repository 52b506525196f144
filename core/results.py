"""The results of a run as tables and figures, for a notebook.

    from lab.core.results import load

    run = load("softmax")        # the newest full run; or its letters, or its folder
    run.comparison               # metrics, curves, comparison, claims: pandas frames
    run.plot(run.plots[0])       # a matplotlib figure

Nothing is run for it and nothing is written; what `lab compare` shows comes of the same tables.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .run.files import Damaged
from .run.folder import Run, ranked, runs
from .run.results import Results, gather, metrics_table
from .suggest import did_you_mean, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from .experiment.schema import Experiment

TEXT = (
    "variant", "metric", "tier", "baseline", "kind", "unit", "difference", "status", "reason", "kernel",
    "claim", "says", "source", "threshold", "letter", "measure", "variants", "place", "expected", "needs", "here", "word", "detail",
    "holds_for", "differences", "note",
)  # fmt: skip
WHOLE = ("replicate", "step", "n", "replicates")
DTYPES = {"best": "bool", "more": "Int64", "paper": "object"}  # a number, a text or nothing


@dataclass(frozen=True, repr=False)
class RunResults:
    """A run, finished or not, and what is made of it. Text has the dtype `string`, whole numbers int64, others float64.

    A column for each axis follows `variant` in the first three tables, with the dtype of its values.
    """

    results: Results

    def __repr__(self) -> str:
        from .analysis.verdicts import tally

        quick = f" ({self.facts['preset']})" if self.facts["preset"] else ""
        return f"run {self.id} of {self.results.experiment.name}{quick}: {tally(self.results.verdicts) or 'no claims'}"

    @property
    def id(self) -> str:
        """The letters by which people call it."""
        return self.results.run.id

    @property
    def folder(self) -> Path:
        return self.results.run.folder

    @property
    def facts(self) -> Mapping[str, Any]:
        """run.json: experiment, version, started, seconds, status, preset, full, label, command, …"""
        return self.results.facts

    @property
    def environment(self) -> Mapping[str, Any]:
        """environment.json: machine, versions, threads, the machine's own peaks."""
        return self.results.environment

    @property
    def summary(self) -> str:
        """The sentence of the last screen."""
        return self.results.summary

    @property
    def warnings(self) -> Sequence[str]:
        """The notes of the last screen."""
        return self.results.warnings

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row for each variant, point and replicate: `variant`, the axes, `replicate`, and a column for each metric.

        NaN where a trial has no such figure. `X again` is the second turn of X in a timing process, the A/A control.
        """
        declared = list(self.results.experiment.metrics)
        index = ["variant", *self.results.experiment.point_keys, "replicate"]
        table = metrics_table(self.results).reindex(columns=[*index, *declared])
        return _typed(table, self.results.experiment, declared)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Of trainings, a row for each recorded figure: `variant`, the axes, `metric`, `replicate`, `step`, `value`."""
        return _typed(self.results.curves, self.results.experiment)

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """Each variant at each point beside the baseline of its tier, see `core.analysis.comparison.compare`."""
        return _typed(self.results.comparison, self.results.experiment)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """A row for each claim with its verdict (`word`), see `core.analysis.verdicts.Verdict`."""
        from .analysis.verdicts import claims_table

        return _typed(claims_table(self.results.verdicts), self.results.experiment)

    @property
    def plots(self) -> list[str]:
        """The names of its plots."""
        from .report.plot import plot_names

        return plot_names(self.results.experiment)

    def plot(self, name: str) -> Figure:
        """One of `plots`, as the report draws it; a notebook shows it.

        Raises:
            ValueError: there is no such plot; with the nearest name.
        """
        from .report.plot import draw

        if name not in self.plots:
            raise ValueError(f"run {self.id} has no plot {name}.{nearest(name, self.plots)}")
        of, plot = self.results, self.results.experiment.plots[self.plots.index(name)]
        figure = draw(plot, of.experiment, of.comparison, of.verdicts, of.curves, of.values)
        # A notebook knows figures of pyplot; this one belongs to nobody, so that it need not be closed.
        setattr(figure, "_repr_png_", lambda: png(figure))  # noqa: B010  # no attribute of Figure, to mypy
        return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white")
    return file.getvalue()


def load(run: str | Path, results: str | Path | None = None) -> RunResults:
    """The results of one run.

    Args:
        run: its folder, its letters, or the name of an experiment: then the newest full run, or the newest quick one where no
            full one is finished.
        results: the folder that runs are in; else `LAB_RESULTS`, else `results`.

    Raises:
        FileNotFoundError: there is no such run; with the nearest name.
        ValueError: two runs have these letters, or a file of the run is damaged.
    """
    found = find_run(run, results)
    try:
        return RunResults(gather(found))
    except Damaged as damaged:
        raise ValueError(f"{damaged.filename} is damaged") from damaged


def find_run(run: str | Path, results: str | Path | None = None) -> Run:
    """The run that is meant; arguments and errors as in `load`."""
    folder = Path(results or os.environ.get("LAB_RESULTS") or "results")
    text, path = str(run), Path(run).expanduser()
    if (path / "run.json").is_file():
        return Run(path.absolute())
    if isinstance(run, Path) or len(path.parts) > 1:
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"{path} is no folder of a run.{nearest(path.name, beside)}")
    if of_name := ranked(folder, text):
        return of_name[0]
    known = runs(folder)
    called = [one for one in known if text in (one.id, one.folder.name)]
    if len(called) > 1:
        raise ValueError(
            f"two runs are called {text}; name a folder: {', '.join(str(one.folder) for one in called)}"
        )
    if called:
        return called[0]
    if not known:
        raise FileNotFoundError(f"no runs in {folder}/; to make one: lab run {text}")
    names = {one.folder.parent.name for one in known}
    hint = did_you_mean(text, {*names, *(one.id for one in known)}) or nearest(text, names)
    raise FileNotFoundError(f"no run {text} in {folder}/.{hint}")


def _typed(table: pd.DataFrame, experiment: Experiment, numbers: Sequence[str] = ()) -> pd.DataFrame:
    """The table with dtypes that depend neither on what is missing in it nor on the version of pandas."""
    axes = {
        key: _dtype(
            [*experiment.axes.get(key, ()), *experiment.checked.get(key, ()), experiment.params.get(key)]
        )
        for key in experiment.point_keys
    }
    known = dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "int64") | DTYPES | axes
    return table.astype(
        {name: "float64" if name in numbers else known.get(name, "float64") for name in table.columns}
    )


def _dtype(values: Sequence[object]) -> str:
    """Of an axis with these values."""
    kinds = {type(value) for value in values if value is not None}
    names = {frozenset({bool}): "bool", frozenset({int}): "int64", frozenset({str}): "string"}
    return "float64" if kinds <= {int, float} and kinds != {int} else names.get(frozenset(kinds), "object")
