"""From a run's trial files to its tables, verdicts and sentences. All of it can be made again at any time."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..atomic import write
from ..experiment.schema import ABOVE_ANY_CEILING, AGAIN, Experiment, Metric, Scalar, point_words
from ..safe_text import csv_of
from ..trial import TwoCuts
from .files import Damaged, read_lines
from .folder import Run
from .opening import experiment_of, planned_replicates
from .stored import a_number, figures, whole

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.verdicts import Verdict

# What the runner itself measures, in these units; an experiment says in which unit it wants to see it.
FACTORS = {
    "time": {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6},
    "time_at_peak": {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6},
    "memory": {"B": 1.0, "KB": 1e-3, "MB": 1e-6, "GB": 1e-9},
}


@dataclass(frozen=True)
class Results:
    """All that a run says."""

    experiment: Experiment
    run: Run
    facts: Mapping[str, Any]  # run.json
    environment: Mapping[str, Any]
    values: pd.DataFrame
    status: pd.DataFrame
    curves: pd.DataFrame
    samples: Mapping[str, Sequence[tuple[int, str]]]  # of the first seed: (step, text), by variant
    cuts: Mapping[TwoCuts, Sequence[str]]  # of the first seed, and which variants keep it
    comparison: pd.DataFrame
    control: pd.DataFrame
    verdicts: Sequence[Verdict]
    summary: str
    warnings: Sequence[str]


def gather(run: Run) -> Results:
    """Read a run, finished or not, and judge it.

    Raises:
        Damaged: without one of its files, or with another in its place, nothing can be said of it.
    """
    import pandas as pd

    from ..analysis.alarms import alarms
    from ..analysis.comparison import compare
    from ..analysis.control import control, off_in, off_words
    from ..analysis.course import Course
    from ..analysis.gaps import with_gaps
    from ..analysis.summary import fill
    from ..analysis.verdicts import judge

    experiment, facts, environment = experiment_of(run), run.facts, run.environment
    setting = {**facts.get("params", {}), **environment}  # what a claim's own setting is held against
    trials, strangers = _fitting(experiment, run.results())
    keys = experiment.point_keys
    values = pd.DataFrame(
        _values(experiment, trials, environment), columns=["variant", *keys, "metric", "replicate", "value"]
    )
    status = pd.DataFrame(_status(trials), columns=["variant", *keys, "status", "reason", "kernel"])
    curves = pd.DataFrame(
        _curves(experiment, run, trials), columns=["variant", *keys, "metric", "replicate", "step", "value"]
    )
    values = with_gaps(experiment, values)
    control_table = control(experiment, values)
    course = Course(
        planned=planned_replicates(run),
        complete=_complete(experiment, trials),
        busy=_busy(keys, trials),
        off=off_in(control_table, keys),
    )
    samples, cuts = _samples(experiment, run, trials)
    above = _above_ceilings(values, keys)
    believed = values[~above]
    return Results(
        experiment=experiment,
        run=run,
        facts=facts,
        environment=environment,
        values=values,
        status=status,
        curves=curves,
        samples=samples,
        cuts=cuts,
        comparison=compare(experiment, values, status),
        control=control_table,
        verdicts=judge(experiment, believed, status, curves, setting, course),
        summary=fill(experiment, believed, status),
        warnings=[
            *alarms(experiment, values),
            *_no_ceilings(values[above], keys),
            *_warnings(facts, environment, trials, off_words(control_table, keys)),
            *(f"trial {key} is left out: its trial.json is damaged" for key in run.damaged()),
            *strangers,
        ],
    )


def _fitting(
    experiment: Experiment, trials: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The trials that are this experiment's, each once, and a line for each of the others."""
    own = {
        key: {str(value): value for value in (*experiment.values_of(key), experiment.params.get(key))}
        for key in experiment.point_keys
    }
    fitting: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    left_out = []
    for trial in trials:
        point = {key: own[key][str(x)] for key, x in trial["point"].items() if str(x) in own.get(key, {})}
        is_alone = trial["kind"] in ("check", "train")
        is_known = trial["variant"] in experiment.variants if is_alone else True
        if not is_known or trial["kind"] != "peaks" and point.keys() != own.keys():
            left_out.append(
                f"a trial of {trial['variant'] or trial['kind']} is left out: this run has no such"
            )
            continue
        cell = tuple(_as_in_a_table(point[key]) for key in own if key in point)
        mine = (trial["kind"], trial["variant"], cell, trial["replicate"])
        if mine in fitting:
            at = point_words(trial["point"])
            left_out.append(f"a second trial of {trial['variant'] or trial['kind']} is left out, at {at}")
            continue
        fitting[mine] = {**trial, "point": point}
    return list(fitting.values()), left_out


def _as_in_a_table(value: Scalar | None) -> Scalar | None:
    """Numbers that a column of floats holds as one: 1 and 1.0, or 10**16 and 10**16 + 1."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def write_tables(results: Results) -> None:
    """metrics.csv, curves.csv, comparison.csv and claims.csv beside the trials."""
    from ..analysis.verdicts import claims_table

    wide = results.values
    if not wide.empty:
        index = [column for column in wide.columns if column not in ("metric", "value")]
        wide = wide.pivot(index=index, columns="metric", values="value").reset_index()
    tables = {
        "metrics": wide,
        "curves": results.curves,
        "comparison": results.comparison,
        "claims": claims_table(results.verdicts),
    }
    for name, table in tables.items():
        if not table.empty:
            write(results.run.folder / f"{name}.csv", csv_of(table))


def _values(
    experiment: Experiment, trials: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for trial in trials:
        if trial["status"] != "ok" or trial["kind"] == "peaks":
            continue
        if trial["kind"] == "time":
            rows = _timed(experiment, trial, environment)
        else:
            rows = ((trial["variant"], name, float(value)) for name, value in trial["metrics"].items())
        for variant, metric, value in rows:
            if (declared := experiment.metrics.get(metric)) is not None:
                scaled = value * _factor(metric, declared)
                yield {
                    "variant": variant,
                    **trial["point"],
                    "metric": metric,
                    "replicate": trial["replicate"],
                    "value": scaled,
                }


def _timed(
    experiment: Experiment, trial: Mapping[str, Any], environment: Mapping[str, Any]
) -> Iterator[tuple[str, str, float]]:
    """Blocks are no replicates: each variant's are reduced to their median, one number for a process."""
    peaks = {name: peak for name, peak in (environment.get("peaks") or {}).items() if a_number(peak)}
    for variant, samples in trial["samples"].items():
        if variant.removesuffix(AGAIN) not in experiment.variants:
            continue
        seconds = statistics.median(samples)
        yield variant, "time", seconds
        work = trial["work"].get(variant.removesuffix(AGAIN), {})
        if "bytes" in work:
            yield variant, "bandwidth", work["bytes"] / seconds / 1e9
        if "operations" in work:
            yield variant, "throughput", work["operations"] / seconds / 1e9
        if "intensity" in work:
            yield variant, "intensity", work["intensity"]
            if peaks.get("copy_gb_per_s"):
                yield variant, "copy_roof", work["intensity"] * float(peaks["copy_gb_per_s"])
        # What computes is held against matrix products, what only moves numbers against a copy.
        bound, peak = ("operations", "matmul_gflops") if "operations" in work else ("bytes", "copy_gb_per_s")
        if bound in work and peaks.get(peak):
            best = float(peaks[peak])
            yield variant, "peak", best
            yield variant, "of_peak", 100 * work[bound] / seconds / 1e9 / best
            yield variant, "time_at_peak", work[bound] / 1e9 / best


def _complete(experiment: Experiment, trials: Sequence[Mapping[str, Any]]) -> int:
    """How many replicates have no trial to come: all of theirs have ended, in whatever way."""
    kind = "train" if experiment.repeats is None else "time"
    each = math.prod(len(values) for values in experiment.axes.values())
    each *= len(experiment.variants) if kind == "train" else 1
    ended = Counter(trial["replicate"] for trial in trials if trial["kind"] == kind)
    return next(replicate for replicate in itertools.count() if ended[replicate] < each)


def _busy(keys: Sequence[str], trials: Sequence[Mapping[str, Any]]) -> frozenset[tuple[tuple[Any, ...], int]]:
    """Place and replicate of the timing processes beside which the machine was busy."""
    return frozenset(
        (tuple(trial["point"].get(key) for key in keys), trial["replicate"])
        for trial in trials
        if trial["kind"] == "time" and trial.get("load")
    )


def _above_ceilings(values: pd.DataFrame, keys: Sequence[str]) -> pd.Series[bool]:
    """The shares of a peak that are above all: no finding, but a sign that what they are taken of is no ceiling."""
    by_place = values.groupby(["variant", *keys, "metric"], sort=False, dropna=False)["value"]
    return (values["metric"] == "of_peak") & (by_place.transform("median") > ABOVE_ANY_CEILING)


def _no_ceilings(above: pd.DataFrame, keys: Sequence[str]) -> Iterator[str]:
    if not above.empty:
        shares = above.groupby(["variant", *keys], sort=False, dropna=False)["value"].median()
        largest = shares.groupby("variant").max()
        yield (
            f"what shares of a peak are taken of is no ceiling here, since {largest.idxmax()} reaches"
            f" {largest.max():.0f}% of it: they mean nothing, and no claim is judged by them"
        )


def _factor(name: str, metric: Metric) -> float:
    return FACTORS.get(name, {}).get(metric.unit, 1.0)


def _status(trials: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for trial in trials:
        if trial["kind"] in ("check", "train"):
            yield {
                "variant": trial["variant"],
                **trial["point"],
                "status": trial["status"],
                "reason": trial["reason"],
                "kernel": trial.get("kernel", ""),
            }


def _curves(
    experiment: Experiment, run: Run, trials: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    from .plan import key_of

    for trial in trials:
        if trial["kind"] != "train":
            continue
        key = key_of(trial["kind"], trial["variant"], trial["point"], trial["replicate"])
        # A trial that went on from its checkpoint did some steps twice; what it did last is what it went on with.
        curve: dict[tuple[str, int], float] = {}
        for step, values in filter(None, map(figures, _records(run, key))):
            curve |= {(name, step): value for name, value in values.items() if name in experiment.metrics}
        for (metric, step), value in curve.items():
            yield {
                "variant": trial["variant"],
                **trial["point"],
                "metric": metric,
                "replicate": trial["replicate"],
                "step": step,
                "value": value,
            }


def _samples(
    experiment: Experiment, run: Run, trials: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, list[tuple[int, str]]], dict[TwoCuts, list[str]]]:
    """Of each variant's first seed, in the order of the file: its text, and what is to be drawn."""
    from .plan import key_of

    told: dict[str, list[tuple[int, str | TwoCuts]]] = {}
    for trial in trials:
        if trial["kind"] == "train" and trial["replicate"] == 0 and not told.get(trial["variant"]):
            key = key_of(trial["kind"], trial["variant"], trial["point"], 0)
            # What was told twice, before and after a checkpoint, is shown once.
            told[trial["variant"]] = list(dict.fromkeys(_told(_records(run, key))))
    samples: dict[str, list[tuple[int, str]]] = {}
    cuts: dict[TwoCuts, list[str]] = {}
    for variant in experiment.variants:
        for step, text in told.get(variant, ()):
            if isinstance(text, str):
                samples.setdefault(variant, []).append((step, text))
            elif variant not in cuts.setdefault(text, []):
                cuts[text].append(variant)
    return samples, cuts


def _records(run: Run, key: str) -> Iterator[dict[str, Any]]:
    """The lines of a trial's records; none of a file that is too large."""
    with suppress(Damaged):
        yield from read_lines(run.of(key) / "records.jsonl")


def _told(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str | TwoCuts]]:
    """What `Context.sample` kept; a line that holds something else is passed over, as a torn one is."""
    for line in lines:
        step, sample = line.get("step"), line.get("sample")
        if not whole(step):
            continue
        if isinstance(sample, str):
            yield step, sample
        elif isinstance(sample, dict):
            with suppress(ValueError):
                yield step, TwoCuts.model_validate(sample)


def _warnings(
    facts: Mapping[str, Any],
    environment: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    controls: Sequence[str],
) -> list[str]:
    """What a reader of the figures should know before believing them."""
    found = []
    if facts["status"] != "finished":
        found.append("this run is not finished: what is here is what is done")
    if facts.get("sessions", 1) > 1 and any(trial["kind"] == "time" for trial in trials):
        found.append(f"this run was resumed: its repeats were timed in {facts['sessions']} sessions")
    timed = [trial for trial in trials if trial["kind"] == "time" and trial["status"] == "ok"]
    busy = sum(1 for trial in timed if trial.get("load"))
    if busy:
        found.append(f"the machine was busy with something else in {busy} of {len(timed)} timing processes")
    if facts.get("company"):
        found.append(f"when this run was timed: {facts['company']}")
    if environment.get("on_battery"):
        found.append("on battery: clocks may be held down")
    found += [f"A/A control off, claims about times there are not judged: {off}" for off in controls]
    again = [trial["reason"] for trial in trials if trial.get("cause") == "machine"]
    if again:
        found.append(
            f"the machine ended {len(again)} trial{'s' * (len(again) > 1)} ({', '.join(dict.fromkeys(again))}):"
            " lab run … --resume tries again"
        )
    for trial in trials:
        found += [f"{trial['variant']} {trial['replicate']}: {note}" for note in trial.get("notes", ())]
        if trial["kind"] in ("time", "peaks") and trial["status"] != "ok":
            found.append(f"a timing process failed at {trial['point'] or 'the peaks'}: {trial['reason']}")
        memory = trial.get("memory") or {}
        if memory.get("agrees") is False:
            found.append(
                f"memory of {trial['variant']} at {point_words(trial['point'])}: the allocator says"
                f" {memory['allocated'] / 1e6:.1f} MB, the resident set {memory['resident'] / 1e6:.1f} MB"
            )
    return found
