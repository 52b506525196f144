"""What a claim needs before it is judged: a variant that has not learnt its task in range says nothing of what lies beyond."""

from __future__ import annotations

import math

from ..experiment.schema import Claim, Experiment, Needs
from .estimates import value_of
from .measures import whole
from .tables import NotTested, Readings, point_of

NAMED = 2  # variants that fall short, with their figures; of more the number is said


def shortfall(claim: Claim, experiment: Experiment, readings: Readings) -> str:
    """Which variants fall short of what a claim needs, by which figure, and what would settle it: `right of none is 0.75 at
    length=16, below 0.95: train it longer`; empty where none falls short.

    A figure is that of tables (the mean over seeds of a trained metric), at the claim's point with `needs.where` laid over
    it. What meets its bound up to rounding is enough.

    Args:
        readings: the replicates by which the claim is judged.

    Raises NotTested: a figure is not there; the message says which.
    """
    needs, measure = claim.needs, claim.measure
    if needs is None:
        return ""
    metric = experiment.metrics.get(needs.metric)
    try:
        if metric is None:
            raise NotTested(f"{needs.metric} is not measured in this run")
        point = point_of(experiment, readings, measure.where | needs.where)
        plain = metric.model_copy(update={"out_of": None})  # no interval is asked for
        figures = {
            name: value_of(whole(readings.get(name, point, needs.metric), needs.metric, name), plain).estimate
            for name in needs.of or measure.variants
        }
    except NotTested as why:
        raise NotTested(f"{why}, which the claim needs") from why
    short = {name: figure for name, figure in figures.items() if not _is_enough(figure, needs)}
    if not short:
        return ""
    named = [f"of {name} is {_beside(figure, needs)}" for name, figure in [*short.items()][:NAMED]]
    more = f", and {len(short) - NAMED} more" if len(short) > NAMED else ""
    at = f" at {words}" if (words := readings.words(point)) else ""
    low, high = needs.region
    bound = f"below {low:.10g}" if needs.at_least is not None else f"above {high:.10g}"
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{needs.metric} {' and '.join(named)}{more}{at}, {bound}{unit}: train {'it' if len(short) == 1 else 'them'} longer"


def _is_enough(figure: float, needs: Needs) -> bool:
    low, high = needs.region
    return low <= figure <= high or math.isclose(figure, low) or math.isclose(figure, high)


def _beside(figure: float, needs: Needs) -> str:
    """The figure with so many digits that it does not read as if it were enough."""
    shown = (f"{figure:.{digits}g}" for digits in range(3, 18))
    return next(text for text in shown if not _is_enough(float(text), needs))
