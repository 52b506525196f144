"""The one plotting function, for every experiment, and how a figure is kept.

figure = draw(plot, experiment, comparison, verdicts)
save(figure, folder, "time-by-columns")        # .svg and .png
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import replacing
from ..experiment.schema import Experiment, Plot
from . import claimed, layout, marks, style, ticks
from .series import MOST_STEPS, Picture, bands, is_numeric, is_ratio, limit, metric_of, points
from .words import human, value_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..analysis.verdicts import Verdict


def draw(
    plot: Plot,
    experiment: Experiment,
    comparison: pd.DataFrame,
    verdicts: Sequence[Verdict],
    curves: pd.DataFrame | None = None,
) -> Figure:
    """One figure: what the run found, with intervals, beside what was claimed.

    `x: step` draws curves with a band; an axis of numbers, lines with an interval at each point; anything else
    (variants, dtypes), rows of dots with their values written out. What is wrong or was refused is not drawn but named
    below.

    Args:
        comparison: as `analysis.comparison.compare` makes it.
        curves: `variant`, point columns, `metric`, `replicate`, `step`, `value`; for `x: step` only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    picture = _picture(plot, experiment, comparison, curves)
    with style.applied():
        figure = Figure(figsize=style.SIZE, dpi=100)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        styles = style.styles([series.name for series in picture.series], experiment)
        log_x, log_y = ticks.log_axes(plot.scale, picture.x, picture.y)
        titles = layout.Titles(_title(plot, experiment), _subtitle(plot, experiment, picture))
        unit = "" if is_ratio(plot) else _unit(plot, experiment)
        notes = _notes(plot, experiment, picture, verdicts, log_y)
        if not picture.series:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "nothing to draw", ha="center", transform=axes.transAxes)
            layout.arrange(figure, axes, titles, "", notes)
        elif plot.x != "step" and not is_numeric(picture.x):
            rows = marks.draw_dots(axes, picture, styles, _texts(plot, experiment, picture))
            ticks.set_values(axes, log_y, unit, "x")
            if not log_y and min(picture.y) >= 0:
                axes.set_xlim(left=0)
            layout.arrange(figure, axes, titles, "", notes, rows=rows, legend=_needs_legend(picture))
        else:
            (marks.draw_bands if plot.x == "step" else marks.draw_lines)(axes, picture, styles)
            if (bound := limit(plot, experiment, comparison)) is not None:
                marks.draw_limit(axes, bound)
            ticks.set_places(axes, [] if plot.x in experiment.metrics else picture.x, log_x)
            ticks.set_values(axes, log_y, unit)
            marks.draw_claimed(axes, claimed.lines(plot, experiment, picture), picture)
            ticks.set_values(axes, log_y, unit)  # again: a claimed figure may have moved the ends
            layout.arrange(figure, axes, titles, _name_of_x(plot, experiment), notes, names=True)
        for text in figure.findobj(Text):
            text.set_text(layout.shown(text.get_text()))
    return figure


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `name.svg` (transparent) and `name.png` (on white, for slides); each replaces the old one at once."""
    folder.mkdir(parents=True, exist_ok=True)
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    with style.applied():
        with replacing(svg) as file:
            nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
            figure.savefig(file, format="svg", metadata=nothing | {"Title": figure.get_label()})
        with replacing(png) as file:
            figure.savefig(file, format="png", dpi=style.DPI, facecolor="white")
    return svg, png


def draw_all(
    experiment: Experiment,
    comparison: pd.DataFrame,
    verdicts: Sequence[Verdict],
    curves: pd.DataFrame | None,
    folder: Path,
) -> list[Path]:
    """Draw and keep every plot of an experiment. Returns the SVG files; the PNG files lie beside them."""
    named = zip(plot_names(experiment), experiment.plots, strict=True)
    return [
        save(draw(plot, experiment, comparison, verdicts, curves), folder, name)[0] for name, plot in named
    ]


def plot_names(experiment: Experiment) -> list[str]:
    """The name of each plot's files, in the order of the experiment file: `time-by-columns`."""
    names: list[str] = []
    for plot in experiment.plots:
        base = re.sub(r"[^a-z0-9]+", "-", f"{plot.y} by {plot.x}".lower()).strip("-")
        taken = sum(re.fullmatch(rf"{base}(-\d+)?", name) is not None for name in names)
        names.append(f"{base}-{taken + 1}" if taken else base)
    return names


def _picture(
    plot: Plot, experiment: Experiment, comparison: pd.DataFrame, curves: pd.DataFrame | None
) -> Picture:
    if plot.x != "step":
        return points(plot, experiment, comparison)
    return Picture([]) if curves is None else bands(plot, experiment, curves)


def _title(plot: Plot, experiment: Experiment) -> str:
    if plot.title:
        return plot.title
    what = human(metric_of(plot))
    if is_ratio(plot):
        what += ", times that of the baseline"
    by = {"step": "over training", "variant": "by variant"}.get(plot.x, f"by {human(plot.x)}")
    return f"{what[0].upper()}{what[1:]} {by}"


def _name_of_x(plot: Plot, experiment: Experiment) -> str:
    metric = experiment.metrics.get(plot.x)
    if metric is None:
        return human(plot.x)
    return f"{metric.label or human(plot.x)}{f', {metric.unit}' if metric.unit else ''}"


def _subtitle(plot: Plot, experiment: Experiment, picture: Picture) -> str:
    """Unit, direction, and how much stands behind a point."""
    metric = experiment.metrics.get(metric_of(plot))
    if metric is None:
        return ""
    parts = [] if is_ratio(plot) or metric.unit in ticks.BYTES else [metric.unit]  # bytes stand on the ticks
    parts.append(f"{metric.better} is better" if metric.better else "")
    few, many = picture.replicates
    noun = "seed" if experiment.seeds is not None else "process"
    plural = f"{noun}{'es' if noun == 'process' else 's'}" if many != 1 else noun
    behind = f"{many} {plural}" if few == many else f"{few} to {many} {plural}"
    if metric.kind == "counted":
        parts.append("counted, no clock")
    elif many:
        parts.append(
            f"{behind}, 95% {'bands' if plot.x == 'step' else 'intervals'}"
            if picture.has_intervals
            else behind
        )
    return " · ".join(part for part in parts if part)


def _notes(
    plot: Plot, experiment: Experiment, picture: Picture, verdicts: Sequence[Verdict], log_y: bool
) -> list[str]:
    notes = []
    # What is as in `params` goes without saying.
    fixed = {axis: value for axis, value in picture.fixed.items() if experiment.params.get(axis) != value}
    if fixed:
        notes.append(", ".join(f"{human(axis)} = {value_words(value)}" for axis, value in fixed.items()))
    if picture.left_out:
        reasons = dict.fromkeys(picture.left_out.values())
        named = {why: [name for name, its in picture.left_out.items() if its == why] for why in reasons}
        notes.append("not drawn: " + "; ".join(f"{', '.join(who)} ({why})" for why, who in named.items()))
    notes += claimed.sentences(plot, experiment, picture, verdicts)[:3]
    if picture.steps > MOST_STEPS:
        notes.append(f"{MOST_STEPS:,} of {picture.steps:,} steps are drawn")
    if plot.scale in ("log-y", "log-log") and not log_y and picture.series:
        notes.append("linear, because zeros have no logarithm")
    return notes


def _texts(plot: Plot, experiment: Experiment, picture: Picture) -> dict[tuple[str, object], str]:
    """The value written beside each dot, with as many digits as its interval supports."""
    from ..analysis import digits

    kind = "ratio" if is_ratio(plot) else "value"
    unit = _unit(plot, experiment)
    return {
        (series.name, x): digits.format(y, low, high, unit, kind=kind, with_interval=False)
        for series in picture.series
        for x, y, low, high in zip(series.x, series.y, series.low, series.high, strict=True)
    }


def _unit(plot: Plot, experiment: Experiment) -> str:
    metric = experiment.metrics.get(metric_of(plot))
    return metric.unit if metric else ""


def _needs_legend(picture: Picture) -> bool:
    """Dots need a legend when a row holds more than the thing it is named after."""
    return len(picture.series) > 1 and any(len(s.x) > 1 or str(s.x[0]) != s.name for s in picture.series)
