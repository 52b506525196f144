"""The one plotting function, for every experiment, and how a figure is kept.

figure = draw(plot, experiment, comparison, verdicts)
save(figure, folder, "time-by-columns")        # .svg, .png and .pdf
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import replacing, write
from ..experiment.formula import FormulaError
from ..experiment.schema import Experiment, Plot, Shade
from ..experiment.shade import ends as ends_of
from ..measure.ceiling import WRONG
from ..source_digest import source_digest
from . import claimed, layout, marks, plane, predicted, style, ticks
from .curves import MOST_STEPS, bands
from .forks import side_by_side
from .series import Picture, is_numeric, is_ratio, limits, points, shows_speed
from .spots import spots
from .words import human, value_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..analysis.verdicts import Verdict

KINDS = (".svg", ".png", ".pdf")
SHADED = 4.0  # more points above the axes, for the name of a shade


def draw(
    plot: Plot,
    experiment: Experiment,
    comparison: pd.DataFrame,
    verdicts: Sequence[Verdict],
    curves: pd.DataFrame | None = None,
    values: pd.DataFrame | None = None,
) -> Figure:
    """One figure: what the run found, with intervals, beside what was claimed.

    `x: step`, and a metric `over: step`, draw curves with a band; `difference` a plane of two axes; an axis of numbers,
    lines with an interval at each point; anything else (variants, dtypes), rows of dots with their values written out. What
    is wrong or was refused is not drawn but named below.

    Args:
        comparison: as `analysis.comparison.compare` makes it.
        curves: `variant`, point columns, `metric`, `replicate`, `step`, `value`; for curves only.
        values: the same without `step`; for `difference` only.
    """
    picture = _picture(plot, experiment, comparison, curves, values)
    return _drawn(plot, experiment, comparison, verdicts, picture)


def _drawn(
    plot: Plot,
    experiment: Experiment,
    comparison: pd.DataFrame,
    verdicts: Sequence[Verdict],
    picture: Picture,
) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    with style.applied():
        figure = Figure(figsize=style.SIZE, dpi=100)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        expected = predicted.lines(plot, experiment, picture)
        names = dict.fromkeys(
            [*(series.name for series in picture.series), *(line.name for line in expected)]
        )
        styles = style.styles(list(names), experiment)
        heights = [*picture.y, *(y for line in expected for y in line.y if math.isfinite(y))]
        log_x, log_y = ticks.log_axes(plot.scale, picture.x, heights)
        from_zero = _goes_from_zero(plot, picture)
        titles = layout.Titles(_title(plot, experiment), _subtitle(plot, experiment, picture))
        unit = "" if is_ratio(plot) else _unit(plot, experiment)
        notes = _notes(plot, experiment, comparison, picture, verdicts, log_y, list(names))
        value_label = _name_of_y(plot, experiment, picture)
        is_dots = not plot.is_curve and not is_numeric(picture.x)
        if (reference := _reference(plot, picture, log_y)) is not None:
            marks.draw_reference(axes, reference, is_height=not is_dots)
        if not names:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "nothing to draw", ha="center", transform=axes.transAxes)
            layout.arrange(figure, axes, titles, ("", ""), notes)
        elif plot.difference is not None:
            plane.draw(axes, plot, experiment, picture, _texts(plot, experiment, picture))
            labels = _name_of_x(plot, experiment), human(plot.y)
            layout.arrange(figure, axes, titles, labels, notes, tall=plane.height(picture), above=plane.KEY)
        elif is_dots:
            rows = marks.draw_dots(
                axes,
                picture,
                styles,
                _texts(plot, experiment, picture),
                predicted.dots(plot, experiment, picture),
            )
            ticks.set_values(axes, log_y, unit, "x")
            if not log_y and min(picture.y) >= 0:
                axes.set_xlim(left=0)
            layout.arrange(
                figure, axes, titles, (value_label, ""), notes, rows=rows, legend=_needs_legend(picture)
            )
        else:
            marks.draw_predicted(axes, expected, styles)
            (marks.draw_bands if plot.is_curve else marks.draw_lines)(axes, picture, styles)
            marks.draw_limits(axes, limits(plot, experiment, comparison))
            if from_zero:
                ticks.set_from_zero(axes, picture.x)
            else:
                ticks.set_places(axes, [] if plot.x in experiment.metrics else picture.x, log_x)
            ticks.set_values(axes, log_y, unit)
            marks.draw_claimed(axes, claimed.lines(plot, experiment, picture), picture)
            ticks.set_values(axes, log_y, unit)  # again: a claimed figure may have moved the ends
            above = layout.ABOVE
            if plot.shade and (ends := _shaded(plot.shade, experiment)):
                marks.draw_shade(axes, *ends, plot.shade.label)
                above += SHADED
            labels = _name_of_x(plot, experiment), value_label
            layout.arrange(figure, axes, titles, labels, notes, names=True, above=above)
        for text in figure.findobj(Text):
            text.set_text(layout.shown(text.get_text()))
    return figure


def save(
    figure: Figure, folder: Path, name: str, facts: Mapping[str, str] | None = None
) -> tuple[Path, Path]:
    """Write `name.svg` (transparent), `name.png` (on white, for slides) and `name.pdf`; each replaces the old one at once.

    Args:
        facts: attributes of the SVG, `data-…`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    svg, png, pdf = (folder / f"{name}{kind}" for kind in KINDS)
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type")) | {"Title": figure.get_label()}
    undated = dict.fromkeys(("CreationDate", "Creator", "Producer")) | {"Title": figure.get_label()}
    with style.applied():
        with replacing(pdf) as file, style.letters_without_layout():
            figure.savefig(file, format="pdf", metadata=undated)
        with replacing(png) as file:
            figure.savefig(file, format="png", dpi=style.DPI, facecolor="white")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=nothing)
    # The SVG comes last: what it says of the state that was drawn is true of all three.
    write(svg, text.getvalue().replace("<svg ", f"<svg {_attributes(facts or {})}", 1))
    return svg, png


def _attributes(facts: Mapping[str, str]) -> str:
    from markupsafe import escape

    return "".join(f'{name}="{escape(value)}" ' for name, value in facts.items())


def draw_all(
    experiment: Experiment,
    comparison: pd.DataFrame,
    verdicts: Sequence[Verdict],
    curves: pd.DataFrame | None,
    folder: Path,
    drawn_before: Path | None = None,
    values: pd.DataFrame | None = None,
) -> list[Path]:
    """Draw and keep every plot of an experiment. Returns the SVG files; PNG and PDF lie beside them.

    A plot of the same figures that lies in `folder` is left as it is; one in `drawn_before` is copied.
    """
    found, to_draw = [], []
    states = _states(experiment, comparison, verdicts, curves, values)
    for name, plot, state in zip(plot_names(experiment), experiment.plots, states, strict=True):
        found.append(folder / f"{name}.svg")
        if _is_drawn(folder, name, state):
            continue
        if drawn_before is not None and _is_drawn(drawn_before, name, state):
            folder.mkdir(parents=True, exist_ok=True)
            for kind in KINDS:
                shutil.copyfile(drawn_before / f"{name}{kind}", folder / f"{name}{kind}")
            continue
        to_draw.append((name, plot, state))

    def draw_one(what: tuple[str, Plot, str]) -> None:
        name, plot, state = what
        picture = _picture(plot, experiment, comparison, curves, values)
        figure = _drawn(plot, experiment, comparison, verdicts, picture)
        looks = style.styles([series.name for series in picture.series], experiment)
        if plot.difference:  # its rows have no colours of their own
            looks = dict.fromkeys(looks, style.LineStyle(style.INK, ""))
        at = spots(figure, picture, looks, _spot_words(plot, experiment, picture))
        save(figure, folder, name, {"data-state": state, "data-spots": at})

    side_by_side(draw_one, to_draw)
    return found


def _states(
    experiment: Experiment,
    comparison: pd.DataFrame,
    verdicts: Sequence[Verdict],
    curves: pd.DataFrame | None,
    values: pd.DataFrame | None,
) -> Iterator[str]:
    """A digest for each plot of all that decides how it looks: the figures, the file, the code."""
    from pandas.util import hash_pandas_object

    known = hashlib.sha256(f"{source_digest(__name__)} {version('matplotlib')}".encode())
    known.update(experiment.model_dump_json().encode())
    known.update(repr([(verdict.claim, verdict.here, verdict.word) for verdict in verdicts]).encode())
    for table in (comparison, curves, values):
        if table is not None:
            known.update(repr(list(table.columns)).encode())
            known.update(hash_pandas_object(table, index=False).to_numpy().tobytes())
    for number in range(len(experiment.plots)):
        one = known.copy()
        one.update(str(number).encode())
        yield one.hexdigest()[:32]


def _is_drawn(folder: Path, name: str, state: str) -> bool:
    """Whether all files of a plot are there, of this state."""
    svg, *others = (folder / f"{name}{kind}" for kind in KINDS)
    if not all(path.is_file() for path in (svg, *others)):
        return False
    with svg.open("rb") as file:
        return f'data-state="{state}"'.encode() in file.read(1000)


def plot_names(experiment: Experiment) -> list[str]:
    """The name of each plot's files, in the order of the experiment file: `time-by-columns`."""
    names: list[str] = []
    for plot in experiment.plots:
        said = f"{plot.difference} by {plot.x} and {plot.y}" if plot.difference else f"{plot.y} by {plot.x}"
        base = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")
        taken = sum(re.fullmatch(rf"{base}(-\d+)?", name) is not None for name in names)
        names.append(f"{base}-{taken + 1}" if taken else base)
    return names


def _picture(
    plot: Plot,
    experiment: Experiment,
    comparison: pd.DataFrame,
    curves: pd.DataFrame | None,
    values: pd.DataFrame | None,
) -> Picture:
    if plot.difference is not None:
        return Picture([]) if values is None else plane.rows(plot, experiment, comparison, values)
    if plot.is_curve:
        return Picture([]) if curves is None else bands(plot, experiment, curves)
    return points(plot, experiment, comparison)


def _goes_from_zero(plot: Plot, picture: Picture) -> bool:
    """Whether a logarithmic x axis of curves needs a place for 0: a curve begins there, or what was paid before it."""
    if not plot.is_curve or plot.scale not in ("log-x", "log-log") or not picture.series:
        return False
    least, most = min(picture.x), max(picture.x)
    is_paid = any(series.paid for series in picture.series)
    return least >= 0 and most > 0 and (is_paid or least <= ticks.ROUNDING * most)


def _shaded(shade: Shade, experiment: Experiment) -> tuple[float, float] | None:
    """The ends of a shade; none where what `-s` has set leaves nothing between them."""
    try:
        return ends_of(shade, experiment)
    except FormulaError:
        return None


def _title(plot: Plot, experiment: Experiment) -> str:
    if plot.title:
        return plot.title
    what = human(plot.metric)
    if shows_speed(plot, experiment):
        what = "speed beside the baseline"
    elif is_ratio(plot):
        what += ", times that of the baseline"
    by = {"step": "over training", "variant": "by variant"}.get(plot.x, f"by {human(plot.x)}")
    if plot.difference is not None:
        what, by = f"{what}, {plot.of} − {plot.over}", f"{by} and {human(plot.y)}"
    return f"{what[0].upper()}{what[1:]} {by}"


def _name_of_x(plot: Plot, experiment: Experiment) -> str:
    metric = experiment.metrics.get(plot.x)
    if metric is None:
        return human(plot.x)
    return f"{metric.label or human(plot.x)}{f', {metric.unit}' if metric.unit else ''}"


def _name_of_y(plot: Plot, experiment: Experiment, picture: Picture) -> str:
    """`time, ms`, `right, share`, `times as fast as safe`: what the values are and in which unit."""
    name = plot.metric
    metric = experiment.metrics.get(name)
    said = (metric.label if metric else "") or human(name)
    if is_ratio(plot):
        names = [*(series.name for series in picture.series), *map(str, picture.x)]
        beside = {experiment.baseline_of(name) for name in names if name in experiment.variants}
        whose = str(beside.pop()) if len(beside) == 1 and None not in beside else "the first of its tier"
        return f"times as fast as {whose}" if shows_speed(plot, experiment) else f"{said} / that of {whose}"
    if metric is None or metric.unit in ticks.BYTES:  # bytes stand on the ticks
        return said
    unit = metric.unit or ("share" if metric.out_of is not None or metric.range == (0, 1) else "")
    return f"{said}, {unit}" if unit else said


def _reference(plot: Plot, picture: Picture, log_y: bool) -> float | None:
    """Where nothing differs: a ratio's 1, and the zero of what falls on both its sides."""
    if not picture.series or plot.difference:
        return None
    if is_ratio(plot):
        return 1.0
    return 0.0 if not log_y and min(picture.y) < 0 < max(picture.y) else None


def _subtitle(plot: Plot, experiment: Experiment, picture: Picture) -> str:
    """Direction, and how much stands behind a point."""
    metric = experiment.metrics.get(plot.metric)
    if metric is None:
        return ""
    better = "higher" if shows_speed(plot, experiment) else metric.better
    parts = [f"{better} is better" if better else ""]
    few, many = picture.replicates
    noun = "seed" if experiment.seeds is not None else "process"
    plural = f"{noun}{'es' if noun == 'process' else 's'}" if many != 1 else noun
    behind = f"{many} {plural}" if few == many else f"{few} to {many} {plural}"
    if metric.kind == "counted":
        parts.append("counted, no clock")
    elif many:
        parts.append(
            f"{behind}, 95% {'bands' if plot.is_curve else 'intervals'}" if picture.has_intervals else behind
        )
    return " · ".join(part for part in parts if part)


def _notes(
    plot: Plot,
    experiment: Experiment,
    comparison: pd.DataFrame,
    picture: Picture,
    verdicts: Sequence[Verdict],
    log_y: bool,
    variants: Sequence[str],
) -> list[str]:
    """The lines below a figure; `variants`: those that it shows, measured or predicted."""
    notes = []
    if plot.x not in experiment.metrics and (said := predicted.sentence(plot, experiment, variants)):
        notes.append(said)
    # What is as in `params` goes without saying.
    fixed = {axis: value for axis, value in picture.fixed.items() if experiment.params.get(axis) != value}
    if fixed:
        notes.append(", ".join(f"{human(axis)} = {value_words(value)}" for axis, value in fixed.items()))
    if plot.difference is not None:
        return notes + plane.notes(plot, experiment, picture)
    if plot.shade and _shaded(plot.shade, experiment) is None:
        notes.append(f"with these parameters nothing is {plot.shade.label}, so nothing is tinted")
    if said := _paid(plot, experiment, picture):
        notes.append(said)
    if _goes_from_zero(plot, picture):
        notes.append(f"from 0 to {ticks.plain(ticks.first_decade(picture.x))} x is linear")
    if picture.left_out:
        reasons = dict.fromkeys(picture.left_out.values())
        named = {why: [name for name, its in picture.left_out.items() if its == why] for why in reasons}
        notes.append("not drawn: " + "; ".join(f"{', '.join(who)} ({why})" for why, who in named.items()))
    notes += claimed.sentences(plot, experiment, picture, verdicts)[:3]
    if picture.steps > MOST_STEPS:
        notes.append(f"{MOST_STEPS:,} of {picture.steps:,} steps are drawn")
    wrong = comparison["variant"][comparison["status"] == WRONG] if plot.limit else ()
    if len(wrong):
        notes.append(f"{WRONG}: {', '.join(dict.fromkeys(wrong))} does more than was measured as the bound")
    if plot.scale in ("log-y", "log-log") and not log_y and picture.series:
        notes.append("linear, because zeros have no logarithm")
    return notes


def _paid(plot: Plot, experiment: Experiment, picture: Picture) -> str:
    """`dotted, operations counted before step 0: kd, on-policy 1.2G FLOP`."""
    metric, names = experiment.metrics.get(plot.x), dict[str, list[str]]()
    for series in picture.series:
        if series.paid and metric:
            amount = f"{ticks.plain(float(f'{series.paid:.3g}'))} {metric.unit}".strip()
            names.setdefault(amount, []).append(series.name)
    said = ", ".join(f"{', '.join(who)} {amount}" for amount, who in names.items())
    what = metric.label if metric and metric.label else human(plot.x)
    return f"dotted, {what} counted before step 0: {said}" if said else ""


def _texts(plot: Plot, experiment: Experiment, picture: Picture) -> dict[tuple[str, object], str]:
    """The value written beside each dot, with as many digits as its interval supports."""
    from ..analysis import digits

    kind, unit = _kind(plot), _unit(plot, experiment)
    if plot.difference and not digits.is_scaled(unit):
        unit = ""  # a note has it
    return {
        (series.name, x): digits.format(y, low, high, unit, kind=kind, with_interval=False)
        for series in picture.series
        for x, y, low, high in zip(series.x, series.y, series.low, series.high, strict=True)
    }


def _spot_words(plot: Plot, experiment: Experiment, picture: Picture) -> dict[tuple[str, Any], str]:
    """`columns 4,000: 0.88 ms [0.85, 0.91]` of each value."""
    from ..analysis import digits

    kind, unit = _kind(plot), "" if is_ratio(plot) else _unit(plot, experiment)
    return {
        (
            series.name,
            x,
        ): f"{_place(plot, experiment, series.name, x)}{digits.format(y, low, high, unit, kind=kind)}"
        for series in picture.series
        for x, y, low, high in zip(series.x, series.y, series.low, series.high, strict=True)
    }


def _place(plot: Plot, experiment: Experiment, name: str, x: Any) -> str:
    """`columns 4,000: `; empty where the series is named after its place."""
    if str(x) == name:
        return ""
    metric = experiment.metrics.get(plot.x)
    at = f"{value_words(float(f'{x:.3g}'))} {metric.unit}".strip() if metric else value_words(x)
    return f"{'' if plot.x == 'variant' else human(plot.x) + ' '}{at}: "


def _unit(plot: Plot, experiment: Experiment) -> str:
    metric = experiment.metrics.get(plot.metric)
    return metric.unit if metric else ""


def _kind(plot: Plot) -> str:
    """That of its values, for `digits`."""
    return "ratio" if is_ratio(plot) else "difference" if plot.difference else "value"


def _needs_legend(picture: Picture) -> bool:
    """Dots need a legend when a row holds more than the thing it is named after."""
    return len(picture.series) > 1 and any(len(s.x) > 1 or str(s.x[0]) != s.name for s in picture.series)
