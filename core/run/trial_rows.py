"""From the trial files of a run to rows of its tables: values, status, curves, samples."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..experiment.schema import AGAIN, ROOF, Experiment, Metric, Scalar, point_words
from ..measure.ceiling import copies_of, fastest_copy, in_repeat
from ..trial import Drawn, HeatMap, SearchTree, TwoCuts
from .files import Damaged, read_lines
from .folder import Run
from .plan import key_of
from .stored import figures, whole

Trials = Sequence[Mapping[str, Any]]  # the content of each trial.json

# Metrics that the runner measures: the factor from their own unit (s, B) to the unit that an experiment declares.
FACTORS = {
    "time": {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6},
    "time_at_peak": {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6},
    "memory": {"B": 1.0, "KB": 1e-3, "MB": 1e-6, "GB": 1e-9},
}


def fitting(experiment: Experiment, trials: Trials) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The trials of this experiment, each once, and a line for each trial that is left out."""
    axes, checked = experiment.axes, experiment.checked
    own = {
        key: {
            str(value): value
            for value in (*axes.get(key, ()), *checked.get(key, ()), experiment.params.get(key))
        }
        for key in experiment.point_keys
    }
    by_key: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    left_out = []
    for trial in trials:
        point = {key: own[key][str(x)] for key, x in trial["point"].items() if str(x) in own.get(key, {})}
        is_alone = trial["kind"] in ("check", "train")
        is_known = trial["variant"] in experiment.variants if is_alone else True
        if not is_known or trial["kind"] != "peaks" and point.keys() != own.keys():
            left_out.append(
                f"a trial of {trial['variant'] or trial['kind']} is left out: this run has no such variant or point"
            )
            continue
        cell = tuple(_as_in_a_table(point[key]) for key in own if key in point)
        key = (trial["kind"], trial["variant"], cell, trial["replicate"])
        if key in by_key:
            at = point_words(trial["point"])
            left_out.append(f"a second trial of {trial['variant'] or trial['kind']} is left out, at {at}")
            continue
        by_key[key] = {**trial, "point": point}
    return list(by_key.values()), left_out


def _as_in_a_table(value: Scalar | None) -> Scalar | None:
    """Numbers that a column of floats holds as one: 1 and 1.0, or 10**16 and 10**16 + 1."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def value_rows(
    experiment: Experiment, trials: Trials, environment: Mapping[str, Any]
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
    """The figures of one timing process. Blocks are no replicates: a variant's blocks become their median."""
    peaks = environment.get("peaks") or {}
    ceiling = in_repeat(peaks, trial["replicate"])
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
            for copy in copies_of(peaks):
                roof = ROOF if copy.capacity is None else f"{ROOF}_{copy.level.lower()}"
                yield variant, roof, work["intensity"] * copy.gb_per_s
        # Work with operations has multiply-adds for its peak, work that only moves bytes a copy of as many.
        bound = "operations" if "operations" in work else "bytes"
        best = ceiling if bound == "operations" else fastest_copy(peaks, work.get("bytes", 0.0))
        if bound in work and best:
            yield variant, "peak", best
            yield variant, "of_peak", 100 * work[bound] / seconds / 1e9 / best
            yield variant, "time_at_peak", work[bound] / 1e9 / best


def _factor(name: str, metric: Metric) -> float:
    return FACTORS.get(name, {}).get(metric.unit, 1.0)


def status_rows(trials: Trials) -> Iterator[dict[str, Any]]:
    for trial in trials:
        if trial["kind"] in ("check", "train"):
            yield {
                "variant": trial["variant"],
                **trial["point"],
                "status": trial["status"],
                "reason": trial["reason"],
                "kernel": trial.get("kernel", ""),
            }


def curve_rows(experiment: Experiment, run: Run, trials: Trials) -> Iterator[dict[str, Any]]:
    for trial in trials:
        if trial["kind"] != "train":
            continue
        key = key_of(trial["kind"], trial["variant"], trial["point"], trial["replicate"])
        # A trial that resumed from its checkpoint repeats some steps; the last value of a step counts.
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


def samples_of(
    experiment: Experiment, run: Run, trials: Trials
) -> tuple[dict[str, list[tuple[int, str]]], dict[Drawn, list[str]]]:
    """Of each variant's first seed, at the headline's point if it is there, in the order of the file: its texts, and what
    is to be drawn."""
    kept: dict[str, list[tuple[int, str | Drawn]]] = {}

    def apart(trial: Mapping[str, Any]) -> int:
        return sum(trial["point"].get(axis) != value for axis, value in experiment.headline.items())

    for trial in sorted(trials, key=apart):
        if trial["kind"] == "train" and trial["replicate"] == 0 and not kept.get(trial["variant"]):
            key = key_of(trial["kind"], trial["variant"], trial["point"], 0)
            # A sample kept twice, before and after a checkpoint, is shown once.
            kept[trial["variant"]] = list(dict.fromkeys(_samples_in(_records(run, key))))
    samples: dict[str, list[tuple[int, str]]] = {}
    drawn: dict[Drawn, list[str]] = {}
    for variant in experiment.variants:
        for step, text in kept.get(variant, ()):
            if isinstance(text, str):
                samples.setdefault(variant, []).append((step, text))
            elif variant not in drawn.setdefault(text, []):
                drawn[text].append(variant)
    return samples, drawn


def _records(run: Run, key: str) -> Iterator[dict[str, Any]]:
    """The lines of a trial's records; none of a file that is too large."""
    with suppress(Damaged):
        yield from read_lines(run.of(key) / "records.jsonl")


def _samples_in(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str | Drawn]]:
    """The samples among lines of records; a line that holds none, or a torn one, is passed over."""
    for line in lines:
        step, sample = line.get("step"), line.get("sample")
        if not whole(step):
            continue
        if isinstance(sample, str):
            yield step, sample
        elif isinstance(sample, dict):
            kind = SearchTree if "steps" in sample else HeatMap if "values" in sample else TwoCuts
            with suppress(ValueError):
                yield step, kind.model_validate(sample)


def complete_replicates(experiment: Experiment, trials: Trials) -> int:
    """How many replicates are complete: all of their trials have ended, in whatever way."""
    kind = "train" if experiment.repeats is None else "time"
    points = [
        dict(zip(experiment.axes, values, strict=True))
        for values in itertools.product(*experiment.axes.values())
    ]
    each = len(points)
    if kind == "train":
        each = sum(experiment.runs_at(variant, point) for point in points for variant in experiment.variants)
    ended = Counter(trial["replicate"] for trial in trials if trial["kind"] == kind)
    return next(replicate for replicate in itertools.count() if ended[replicate] < each)


def busy_processes(keys: Sequence[str], trials: Trials) -> frozenset[tuple[tuple[Any, ...], int]]:
    """Point and replicate of the timing processes whose machine was busy with something else."""
    return frozenset(
        (tuple(trial["point"].get(key) for key in keys), trial["replicate"])
        for trial in trials
        if trial["kind"] == "time" and trial.get("load")
    )
