"""What an experiment file predicts, as dashed lines of a plot and as a sentence below it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..experiment.formula import FormulaError
from ..experiment.predictions import formula, predicted, prediction_of
from ..experiment.schema import Experiment, Plot, Prediction
from .series import Picture, Series, is_numeric, is_ratio

FINE = 100  # places of a curve over an axis of numbers


def lines(plot: Plot, experiment: Experiment, picture: Picture) -> list[Series]:
    """A line for each variant of this plot with a prediction, whether it has been measured or not; none for ratios, nor
    where lines stand for something else than variants."""
    drawn = not is_ratio(plot) and plot.difference is None and plot.hue == "variant"
    if not drawn or plot.x in experiment.metrics or plot.x == "variant":
        return []
    found = []
    for variant in plot.variants or experiment.variants:
        prediction = prediction_of(experiment, plot.metric, variant)
        if variant not in experiment.variants or prediction is None:
            continue
        x = _places(plot, experiment, picture, prediction)
        y = [value(prediction, experiment, variant, {**picture.fixed, plot.x: place}) for place in x]
        if any(map(math.isfinite, y)):  # where it has no figure is a gap
            nothing = [math.nan] * len(x)
            found.append(Series(variant, x, y, nothing, nothing, prediction.says))
    return found


def dots(plot: Plot, experiment: Experiment, picture: Picture) -> Mapping[tuple[str, object], float]:
    """By series and place of a plot of dots, the figure that was predicted."""
    return dict(_dots(plot, experiment, picture))


def _dots(plot: Plot, experiment: Experiment, picture: Picture) -> Iterator[tuple[tuple[str, object], float]]:
    if is_ratio(plot) or plot.hue != "variant":
        return
    for series in picture.series:
        prediction = prediction_of(experiment, plot.metric, series.name)
        if prediction is None:
            continue
        for place in series.x:
            figure = value(prediction, experiment, series.name, {**picture.fixed, plot.x: place})
            if math.isfinite(figure):
                yield (series.name, place), figure


def sentence(plot: Plot, experiment: Experiment, variants: Sequence[str]) -> str:
    """`dashed, predicted before the run: p(1-e)^k + (1-p)/m`."""
    each = (prediction_of(experiment, plot.metric, variant) for variant in variants)
    said = "; ".join(dict.fromkeys(prediction.says for prediction in each if prediction is not None))
    return f"dashed, predicted before the run: {said}" if said else ""


def _places(plot: Plot, experiment: Experiment, picture: Picture, prediction: Prediction) -> list[Any]:
    """Where a line is drawn: finely along an axis that the closed form names, else from end to end."""
    places = list(picture.x or experiment.values_of(plot.x))
    if not is_numeric(places) or len(places) < 2:
        return []
    low, high = min(places), max(places)
    if plot.x not in formula(prediction).names():
        return [low, high]
    if plot.scale in ("log-x", "log-log") and low > 0:
        return [low * (high / low) ** (i / FINE) for i in range(FINE + 1)]
    return [low + (high - low) * i / FINE for i in range(FINE + 1)]


def value(prediction: Prediction, experiment: Experiment, variant: str, point: Mapping[str, Any]) -> float:
    """The figure that is predicted at a point; NaN where the closed form gives none."""
    try:
        return predicted(prediction, experiment, variant, point)
    except FormulaError:
        return math.nan
