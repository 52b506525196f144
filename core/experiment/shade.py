"""The stretch of a plot's x that its file has tinted, such as the lengths that were trained."""

from __future__ import annotations

from ..suggest import nearest
from .formula import FormulaError, parse
from .schema import Experiment, Shade


def ends(shade: Shade, experiment: Experiment) -> tuple[float, float]:
    """Where it begins and ends, with these `params`.

    Raises FormulaError: an end is no closed form of them, or nothing lies between the two.
    """
    found = []
    for end in map(parse, map(str, shade.between)):
        for name, at in end.names().items():
            if name not in experiment.params:
                raise FormulaError(
                    f"{name} does not stand in `params`.{nearest(name, experiment.params)}", at
                )
        found.append(end.value(experiment.params))
    low, high = found
    if low >= high:
        raise FormulaError(f"nothing lies between {low:g} and {high:g}", 0)
    return low, high
