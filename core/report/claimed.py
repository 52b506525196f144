"""The figures that sources claim, as dashed lines of a plot or sentences below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..experiment.schema import Claim, Experiment, Plot
from .series import Picture, end, is_ratio, shows_speed
from .words import claimed

if TYPE_CHECKING:
    from ..analysis.verdicts import Verdict


@dataclass(frozen=True)
class Line:
    """A horizontal line at a claimed figure."""

    value: float
    label: str


def lines(plot: Plot, experiment: Experiment, picture: Picture) -> list[Line]:
    """The claims whose figure is a value of this plot's y axis."""
    found = {}
    for claim in _concerned(plot, experiment, picture):
        value = _height(claim, plot, experiment)
        if value is not None:
            of, over = claim.measure.of[0], claim.measure.over
            whose = f"{over if experiment.baseline_of(over or '') == of else of}: " if is_ratio(plot) else ""
            as_drawn = claim.model_copy(update={"paper": float(f"{value:.3g}")})
            found[value] = Line(value, f"{whose}claimed {_said(as_drawn, experiment)}")
    return list(found.values())


def sentences(plot: Plot, experiment: Experiment, picture: Picture, verdicts: Sequence[Verdict]) -> list[str]:
    """The other numeric claims about this metric, in words: a ratio or a slope has no height on a plot of times."""
    judged = {verdict.claim: verdict for verdict in verdicts}
    said = []
    for claim in _concerned(plot, experiment, picture):
        if _height(claim, plot, experiment) is not None or claim.id not in judged:
            continue
        verdict = judged[claim.id]
        here = f"; here {verdict.here}" if verdict.here else ""
        here += f", {verdict.word}" if verdict.word == "not trained enough" else ""
        said.append(f"{_what(claim)}: claimed {_said(claim, experiment)}{here}")
    return said


def _concerned(plot: Plot, experiment: Experiment, picture: Picture) -> list[Claim]:
    """Claims with a number about this metric, of variants that are drawn and at a point that is shown."""
    drawn = {series.name for series in picture.series} if plot.hue == "variant" else set(experiment.variants)
    if plot.x == "variant":
        drawn = set(picture.x)
    if is_ratio(plot):  # what everything is divided by is there too, at 1
        drawn |= {experiment.baseline_of(name) or "" for name in drawn if name in experiment.variants}
    return [
        claim
        for claim in experiment.claims
        if isinstance(claim.paper, int | float)
        and claim.measure.metric == plot.metric
        and set(claim.measure.variants) <= drawn
        and claim.source != "ours"
        and claim.measure.axis in (None, plot.x)
        and all(
            end(claim.measure.where.get(axis, value), experiment.axes.get(axis, [])) == value
            for axis, value in picture.fixed.items()
        )
    ]


def _height(claim: Claim, plot: Plot, experiment: Experiment) -> float | None:
    """Where the claimed figure stands on the y axis; None: it is another kind of number."""
    measure, figure = claim.measure, float(claim.paper or 0)
    if not is_ratio(plot):
        return figure if measure.kind == "value" else None
    if measure.kind != "ratio" or measure.over is None:
        return None
    if experiment.baseline_of(measure.of[0]) == measure.over:
        is_drawn = not shows_speed(plot, experiment)
    elif experiment.baseline_of(measure.over) == measure.of[0]:
        is_drawn = shows_speed(plot, experiment)  # the baseline's time over this one's
    else:
        return None
    return figure if is_drawn else 1 / figure if figure else None


def _said(claim: Claim, experiment: Experiment) -> str:
    return claimed(claim, experiment.metrics[claim.measure.metric].unit)


def _what(claim: Claim) -> str:
    measure = claim.measure
    of = measure.of[0]
    match measure.kind:
        case "ratio":
            return f"{of} / {measure.over}"
        case "difference":
            return f"{of} − {measure.over}"
        case "deviation":
            return f"{of} − predicted"
        case "exponent":
            return f"slope of {of}"
        case "trend":
            return f"trend of {of}"
        case _:
            return of
