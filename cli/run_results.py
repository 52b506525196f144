"""The results of a run as commands need them: tables and plots written, the page of a report, the exit code, JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from ..core.run.files import Damaged
from ..core.run.folder import Run
from ..core.run.results import Results, gather, write_tables
from .screen import err
from .tables import BAD

if TYPE_CHECKING:
    from ..core.report.page import Page


def load_meanwhile() -> None:
    """Load what judges and draws, on a thread: while the server of trials loads torch this process only waits."""

    def load() -> None:
        import pandas  # noqa: F401

        from ..core.analysis import alarms, comparison, control, gaps, judge, summary  # noqa: F401
        from ..core.report import plot  # noqa: F401

    Thread(target=load, name="loading", daemon=True).start()


def results_of(run: Run) -> Results:
    """Judge a run, write its tables and draw its plots."""
    results = gather(run)
    write_tables(results)
    plots_of(results, run.folder / "plots")
    return results


def plots_of(results: Results, folder: Path, drawn_before: Path | None = None) -> list[Path]:
    """Draw what is not drawn yet, in `folder` or in `drawn_before`. Returns the SVG files."""
    from ..core.report.plot import draw_all

    return draw_all(
        results.experiment,
        results.comparison,
        results.verdicts,
        results.curves,
        folder,
        drawn_before,
        results.values,
    )


def first_readable(runs: Sequence[Run]) -> Results:
    """The results of the first of these runs that can be read; names those before it.

    Raises:
        Damaged: none can.
    """
    for index, run in enumerate(runs):
        try:
            return gather(run)
        except Damaged as damaged:
            if index == len(runs) - 1:
                raise
            print_passed_over(run, damaged)
    raise ValueError("no runs")


def print_passed_over(run: Run, damaged: Damaged) -> None:
    line = f"{run.folder} is passed over: {Path(damaged.filename).name} is damaged"
    err().print(line, markup=False, soft_wrap=True)


def page_of(results: Results, plots: Sequence[Path]) -> Page:
    """A run as the report shows it."""
    from ..core.report.page import Page

    return Page(
        experiment=results.experiment,
        run=results.facts,
        environment=results.environment,
        comparison=results.comparison,
        verdicts=list(results.verdicts),
        summary=results.summary,
        plots=plots,
        warnings=list(results.warnings),
        samples=results.samples,
        drawn=results.drawn,
    )


def exit_code(results: Results, fail_on: frozenset[str]) -> int:
    """1: a trial failed or a variant is wrong; 3: what --fail-on names happened; 0: fine."""
    words = {verdict.word for verdict in results.verdicts}
    states = set(results.status["status"])
    named = {"fails": "fails here" in words, "unclear": "unclear" in words, "wrong": "wrong" in states}
    named["untrained"] = "not trained enough" in words
    if any(named[word] for word in fail_on):
        return 3
    broken = any(trial["status"] in BAD for trial in results.run.results())
    return 1 if broken else 0


def summary_data(results: Results) -> dict[str, Any]:
    """What `lab run --json` prints."""
    return {
        "run": results.run.id,
        "folder": str(results.run.folder),
        **{
            key: results.facts.get(key)
            for key in ("experiment", "version", "status", "preset", "seconds", "counts", "command")
        },
        "summary": results.summary,
        "claims": [claim_data(verdict) for verdict in results.verdicts],
        "comparison": records(results.comparison),
        "warnings": list(results.warnings),
    }


def claim_data(verdict: Any) -> dict[str, Any]:
    """A verdict as JSON has it: its point is called `place`."""
    from dataclasses import asdict

    data = {"place" if key == "point" else key: value for key, value in asdict(verdict).items()}
    return data | {"place": dict(verdict.point), "more": verdict.more}


def records(table: Any) -> list[dict[str, Any]]:
    """A table's rows; what is not there is null."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]
