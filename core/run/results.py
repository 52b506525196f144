"""The results of a run: its tables, verdicts and sentences, made from its trial files whenever they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..atomic import write
from ..experiment.schema import Experiment
from ..safe_text import csv_of
from ..trial import Drawn
from .ceilings import above_ceilings, ceiling_notes, marked, named
from .folder import Run
from .opening import experiment_of, looks_again, planned_replicates
from .trial_rows import (
    busy_processes,
    complete_replicates,
    curve_rows,
    fitting,
    samples_of,
    status_rows,
    value_rows,
)
from .warnings import warnings_of

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.conditions import Conditions
    from ..analysis.verdicts import Verdict


@dataclass(frozen=True)
class Results:
    """The results of a run."""

    experiment: Experiment
    run: Run
    facts: Mapping[str, Any]  # run.json
    environment: Mapping[str, Any]
    values: pd.DataFrame
    status: pd.DataFrame
    curves: pd.DataFrame
    samples: Mapping[str, Sequence[tuple[int, str]]]  # of the first seed: (step, text), by variant
    drawn: Mapping[Drawn, Sequence[str]]  # of the first seed, and which variants keep it
    comparison: pd.DataFrame
    control: pd.DataFrame
    conditions: Conditions
    verdicts: Sequence[Verdict]
    summary: str
    warnings: Sequence[str]


def gather(run: Run) -> Results:
    """Read a run, finished or not, and judge it.

    Raises Damaged: one of its files is missing, or does not hold what was written.
    """
    import pandas as pd

    from ..analysis.alarms import alarms
    from ..analysis.comparison import compare
    from ..analysis.conditions import Conditions
    from ..analysis.control import control, off_in, off_words
    from ..analysis.gaps import with_gaps
    from ..analysis.judge import judge
    from ..analysis.summary import fill

    facts, environment = run.facts, run.environment
    experiment = named(experiment_of(run), environment)
    setting = {**facts.get("params", {}), **environment}  # compared with the setting of each claim
    ends = run.ends()
    trials, left_out = fitting(experiment, [end for end in ends.values() if end is not None])
    keys = experiment.point_keys
    values = pd.DataFrame(
        value_rows(experiment, trials, environment),
        columns=["variant", *keys, "metric", "replicate", "value"],
    )
    status = pd.DataFrame(status_rows(trials), columns=["variant", *keys, "status", "reason", "kernel"])
    curves = pd.DataFrame(
        curve_rows(experiment, run, trials),
        columns=["variant", *keys, "metric", "replicate", "step", "value"],
    )
    values = with_gaps(experiment, values)
    impossible = above_ceilings(values, keys)
    measured, above, values = values, values[impossible], values[~impossible]
    control_table = control(experiment, values)
    conditions = Conditions(
        planned=planned_replicates(run),
        complete=complete_replicates(experiment, trials),
        busy=busy_processes(keys, trials),
        again=looks_again(facts),
    )
    # The control of a verdict is of the repeats that it is about; the one in tables, as they are, of all.
    look = conditions.look
    judged = control_table if look is None else control(experiment, values[values["replicate"] < look.n])
    conditions = replace(conditions, off=off_in(judged, keys))
    samples, drawn = samples_of(experiment, run, trials)
    return Results(
        experiment=experiment,
        run=run,
        facts=facts,
        environment=environment,
        values=values,
        status=status,
        curves=curves,
        samples=samples,
        drawn=drawn,
        comparison=marked(compare(experiment, measured, status), above, keys),
        control=control_table,
        conditions=conditions,
        verdicts=judge(experiment, values, status, curves, setting, conditions),
        summary=fill(experiment, values, status),
        warnings=[
            *(
                f"trial {key} is left out: its trial.json is damaged"
                for key, end in ends.items()
                if end is None
            ),
            *left_out,
            *alarms(experiment, values),
            *ceiling_notes(environment, trials, above),
            *warnings_of(facts, environment, trials, off_words(judged, keys)),
        ],
    )


def metrics_table(results: Results) -> pd.DataFrame:
    """A row for each variant, point and replicate, and a column for each metric that has a figure."""
    values = results.values
    index = [column for column in values.columns if column not in ("metric", "value")]
    return values.pivot(index=index, columns="metric", values="value").reset_index().rename_axis(columns=None)


def write_tables(results: Results) -> None:
    """metrics.csv, curves.csv, comparison.csv and claims.csv beside the trials."""
    from ..analysis.verdicts import claims_table

    tables = {
        "metrics": metrics_table(results),
        "curves": results.curves,
        "comparison": results.comparison,
        "claims": claims_table(results.verdicts),
    }
    for name, table in tables.items():
        if not table.empty:
            write(results.run.folder / f"{name}.csv", csv_of(table))
