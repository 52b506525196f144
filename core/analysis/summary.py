"""Fills the summary of an experiment with the figures of a run."""

from __future__ import annotations

import math
import re

import pandas as pd

from ..experiment.schema import Experiment
from ..experiment.summary import End, Figure, Piece, Text, parse
from . import digits
from .estimates import difference_of, ratio_of, value_of
from .gaps import worse_than
from .tables import NotTested, Readings, ends, point_of, read

LACKING = "\0"  # in the place of a figure that is not there
REASONS = 2  # shown; of a run of one variant there are as many as variants


def fill(experiment: Experiment, values: pd.DataFrame, status: pd.DataFrame | None = None) -> str:
    """The experiment's `summary` with its figures.

    Figures are taken at the experiment's headline, else at the largest value of each axis, unless the template says
    where. Sampled ratios and differences print with their interval. A sentence with a figure that this run does not
    have is left out, and why stands at the end: `(left out: safe is not in this run)`.

    Raises ValueError: the template cannot be read (the checks of an experiment file refuse it earlier).
    """
    readings = read(experiment, values, status)
    missing: dict[str, None] = {}
    said = "".join(_print(piece, experiment, readings, missing) for piece in parse(experiment.summary))
    if not missing:
        return said
    sentences = [one for one in re.split(r"(?<=[.!?])\s+", said) if LACKING not in one]
    more = [f"and {len(missing) - REASONS} more"] if len(missing) > REASONS else []
    return " ".join([*sentences, f"(left out: {'; '.join([*missing][:REASONS] + more)})"])


def _print(piece: Piece, experiment: Experiment, readings: Readings, missing: dict[str, None]) -> str:
    if isinstance(piece, Text):
        return piece.text
    if isinstance(piece, End):
        swept = experiment.values_of(piece.axis)
        if not swept:
            missing[f"{piece.axis} has no values"] = None
            return LACKING
        end = ends(list(swept))[piece.end == "max"]
        return f"{end:,}" if type(end) is int else str(end)
    try:
        return _figure(piece, experiment, readings)
    except ValueError as why:
        missing[str(why)] = None
        return LACKING


def _figure(piece: Figure, experiment: Experiment, readings: Readings) -> str:
    metric = experiment.metrics.get(piece.metric)
    if metric is None:
        raise NotTested(f"{piece.metric} is not in this run")
    headline = {
        key: value for key, value in experiment.headline.items() if value in experiment.values_of(key)
    }
    point = point_of(experiment, readings, headline | piece.where, otherwise="max")
    of = readings.get(piece.of, point, piece.metric)
    metric = readings.with_prompts(metric, point, [piece.of, piece.over or piece.of])
    if piece.over is None:
        found = value_of(of, metric)
        if math.isnan(found.estimate):
            raise NotTested(f"{piece.of} has no {piece.metric}")
        if metric.gap and (found.estimate if found.high is None else found.high) < 0:
            return f"none ({worse_than(experiment, metric.gap)})"
        return digits.format(found.estimate, *found.printed, metric.unit, with_interval=False)
    over = readings.get(piece.over, point, piece.metric)
    found = (ratio_of if piece.kind == "ratio" else difference_of)(of, over, metric)
    if not math.isfinite(found.estimate):
        raise NotTested(f"{piece.metric} is not finite")
    unit = metric.unit if piece.kind == "difference" else ""
    return digits.format(found.estimate, *found.printed, unit, kind=piece.kind)
