"""A plane of two axes: at each point the difference of two variants, and the line where they are equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ..analysis import digits
from ..experiment.predictions import prediction_of
from ..experiment.schema import Experiment, Measure, Plot, Scalar
from . import style
from .marks import SERIES
from .predicted import sentence, value
from .series import Picture, Series, held, is_numeric
from .words import human, value_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HIGHER, LOWER = "#0072b2", "#d0480a"  # blue and vermillion of `style`, told apart by all eyes
FAINT, STRONG = (
    0.1,
    0.62,
)  # opacity of the smallest and of the largest difference, on which the ink is legible
KEY = 23.0  # points above the plane, for what the colours mean
ROW, MOST = 34.0, 142.0  # points: of a row, and of all where there are few; of many each has at least LEAST
LEAST = 20.0
FINE = 30  # places from one column to the next at which a prediction is worked out
TEXT, BESIDE = 4.9, 4.0  # points: of a letter in a cell, and between text and line
Line = list[tuple[float, float]]  # (column, row), counted from 0 along the axes


def rows(plot: Plot, experiment: Experiment, comparison: pd.DataFrame, values: pd.DataFrame) -> Picture:
    """A series for each value of y: at each value of x what a claim `difference` would have measured there.

    NaN stands where one of the two variants has no figure.
    """
    from ..analysis.measures import measured
    from ..analysis.tables import NotTested, read

    status = comparison[~comparison["status"].isin(["ok", "missing"])].drop_duplicates(
        ["variant", *experiment.point_keys]
    )
    readings = read(experiment, values, status)
    across, fixed, counts, left_out = axis(experiment, plot.x), held(plot, experiment), [], {}
    found = []
    for y in axis(experiment, plot.y):
        cells: list[tuple[float, float, float]] = []
        for x in across:
            where = plot.where | {plot.x: x, plot.y: y}
            measure = {"difference": plot.metric, "of": plot.of, "over": plot.over, "where": where}
            try:
                seen = measured(Measure.model_validate(measure), experiment, readings)
            except NotTested as why:
                left_out[f"{value_words(x)}, {value_words(y)}"] = str(why)
                cells.append((math.nan, math.nan, math.nan))
                continue
            low, high = (math.nan if end is None else end for end in seen.steps[0].printed)
            cells.append((seen.steps[0].estimate, low, high))
            counts.append(seen.replicates)
            fixed = {key: one for key, one in seen.point.items() if key not in (plot.x, plot.y)}
        estimates, lows, highs = (list(column) for column in zip(*cells, strict=True))
        name = value_words(y)
        found.append(Series(name, list(across), estimates, lows, highs, f"{human(plot.y)} {name}"))
    replicates = (min(counts), max(counts)) if counts else (0, 0)
    return Picture(found if counts else [], replicates, fixed, left_out)


def axis(experiment: Experiment, name: str) -> list[Any]:
    """The values of an axis: numbers from the smallest, words as the file lists them."""
    there = experiment.values_of(name)
    return sorted(there, key=float) if is_numeric(list(there)) else list(there)


def crossings(differences: Sequence[float]) -> list[tuple[float, bool]]:
    """Where a row of differences changes its sign, as a column counted from 0, and whether it rises there.

    Straight between two neighbours; a 0 between two signs is the place itself, the middle of several. NaN, a point
    without a figure, has no sign, so nothing is seen across it.
    """
    found, last = [], None
    for at, here in enumerate(differences):
        if math.isnan(here):
            last = None
        elif here:
            if last is not None and (before := differences[last]) * here < 0:
                place = last + before / (before - here) if at == last + 1 else (last + at) / 2
                found.append((place, here > 0))
            last = at
    return found


def lines_through(places: Sequence[Sequence[tuple[float, bool]]], has_order: bool) -> list[Line]:
    """The lines where both are equal, half a row beyond their first and their last crossing.

    Args:
        places: the crossings of each row.
        has_order: whether something lies between two rows; a line then goes from one to the next where both turn equally
            often, the same way.
    """
    found: list[Line] = []
    ends: list[Line] = []  # the lines that reach the row before
    for row, here in enumerate(places):
        before = [rises for _, rises in places[row - 1]] if row and has_order else None
        if before == [rises for _, rises in here]:
            for line in ends:
                line.pop()
        else:
            ends = [[(at, row - 0.5)] for at, _ in here]
            found += ends
        for line, (at, _) in zip(ends, here, strict=True):
            line += [(at, row), (at, row + 0.5)]
    return found


def predicted_crossings(
    plot: Plot, experiment: Experiment, fixed: Mapping[str, Scalar]
) -> list[list[tuple[float, bool]]]:
    """As `crossings`, of what is predicted for both variants from the first column to the last; no rows where one of them
    has no prediction."""
    pair = [str(plot.of), str(plot.over)]
    known = [prediction_of(experiment, plot.metric, name) for name in pair if name in experiment.variants]
    across = axis(experiment, plot.x)
    if None in known or len(known) < 2 or len(across) < 2:
        return []
    x_at = _between(across, plot.scale in ("log-x", "log-log"))
    places = [x_at(i / FINE) for i in range((len(across) - 1) * FINE + 1)]
    found = []
    for y in axis(experiment, plot.y):
        points = [{**fixed, plot.x: x, plot.y: y} for x in places]
        of, over = (
            [value(each, experiment, name, point) for point in points]
            for each, name in zip(known, pair, strict=True)
            if each is not None
        )
        turns = crossings([a - b for a, b in zip(of, over, strict=True)])
        found.append([(at / FINE, rises) for at, rises in turns])
    return found


def draw(
    ax: Axes, plot: Plot, experiment: Experiment, picture: Picture, texts: Mapping[tuple[str, object], str]
) -> None:
    """A cell for each point: its colour is the difference, which is written in it; bold where its interval excludes 0.

    The cells are equally wide, so that each has room for its text; between two of them x runs straight, or as its logarithm.
    """
    across, up = picture.series[0].x, axis(experiment, plot.y)
    has_order = is_numeric(up)
    ax.set_xlim(-0.5, len(across) - 0.5)
    ax.set_ylim(*((-0.5, len(up) - 0.5) if has_order else (len(up) - 0.5, -0.5)))
    largest = max((abs(y) for y in picture.y if abs(y) > 0), default=1.0)
    seen = [crossings(series.y) for series in picture.series]
    expected = predicted_crossings(plot, experiment, picture.fixed)
    kind = experiment.metrics[plot.metric].kind
    for row, series in enumerate(picture.series):
        turns = [*seen[row], *(expected[row] if expected else ())]
        for column, (x, y) in enumerate(zip(across, series.y, strict=True)):
            if not math.isnan(y):
                colour = HIGHER if y > 0 else LOWER if y else style.GREY
                _cell(ax, column, row, colour, FAINT + (STRONG - FAINT) * abs(y) / largest)
                low, high = series.low[column], series.high[column]
                bold = y != 0 if kind == "counted" else low > 0 or high < 0
                doubt = "~ " if low <= 0 <= high else ""
                _write(ax, column, row, doubt + texts[series.name, x], bold, [at for at, _ in turns])
                ax.plot([column], [row], linestyle="none", gid=f"{SERIES}{row}-{column}")
    for line in lines_through(seen, has_order):
        ax.plot(*zip(*line, strict=True), color=style.INK, linewidth=1.4, zorder=3, gid="equal")
    for line in lines_through(expected, has_order):
        ax.plot(
            *zip(*line, strict=True),
            color=style.INK,
            linewidth=1,
            linestyle=(0, (4, 2)),
            zorder=3,
            gid="predicted",
        )
    ax.set_xticks(range(len(across)), map(value_words, across))
    ax.set_yticks(range(len(up)), map(value_words, up))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    _key(ax, plot)


def height(picture: Picture) -> float:
    """Of the plane, in points."""
    rows = len(picture.series)
    return max(min(MOST, rows * ROW), rows * LEAST)


def _cell(ax: Axes, column: int, row: int, colour: str, opacity: float) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle((column - 0.485, row - 0.46), 0.97, 0.92, facecolor=colour, alpha=opacity, linewidth=0)
    )


def _write(ax: Axes, column: int, row: int, text: str, bold: bool, lines: Sequence[float]) -> None:
    """The text in the middle of its cell, or beside the line that would run through it."""
    points = ax.bbox.width / (ax.get_xlim()[1] - ax.get_xlim()[0]) * 72 / ax.figure.dpi  # of a column
    half = (len(text) * TEXT * (1.1 if bold else 1) / 2 + BESIDE) / points
    at = float(column)
    for line in lines:
        if abs(line - column) < half:  # as far as the cell has room
            at = line - half if line > column else line + half
            room = 0.5 - half + BESIDE / 2 / points
            at = min(max(at, column - room), column + room)
    ax.text(
        at, row, text, ha="center", va="center", fontsize=style.SMALL, fontweight="bold" if bold else "normal"
    )


def _key(ax: Axes, plot: Plot) -> None:
    """What the colours mean, above the plane."""
    from matplotlib.patches import Patch

    meanings = ((HIGHER, f"{plot.of} higher (+)"), (LOWER, f"{plot.over} higher (-)"))
    ax.legend(
        handles=[Patch(facecolor=colour, alpha=STRONG, label=said) for colour, said in meanings],
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2, borderpad=0, handlelength=1.0,
        handleheight=0.8, columnspacing=1.4,
    )  # fmt: skip


def notes(plot: Plot, experiment: Experiment, picture: Picture) -> list[str]:
    """What the text, the lines and the empty cells mean."""
    if not picture.series:
        return list(dict.fromkeys(picture.left_out.values()))[:1]
    unit = experiment.metrics[plot.metric].unit
    said = [f"in {unit}"] if unit and not digits.is_scaled(unit) else []
    said += ["bold: the 95% interval excludes 0", "~: it does not"] if picture.has_intervals else []
    x_at = _between(picture.series[0].x, plot.scale in ("log-x", "log-log"))
    found = [
        f"{value_words(float(f'{x_at(at):.3g}'))} ({series.label})"
        for series in picture.series
        for at, _ in crossings(series.y)
    ]
    lines = (
        f"line: both equal, at {human(plot.x)} {', '.join(found)}" if found else "no change of sign along x"
    )
    turns = predicted_crossings(plot, experiment, picture.fixed)
    expected = sentence(plot, experiment, [str(plot.of), str(plot.over)]) if any(turns) else ""
    reasons = list(dict.fromkeys(picture.left_out.values()))
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    empty = f"empty: {shorten(reasons[0], 120, placeholder='…')}{more}" if reasons else ""
    return [each for each in ("; ".join(said), lines, expected, empty) if each]


def _between(across: Sequence[float], in_logs: bool) -> Callable[[float], float]:
    """From a column, counted from 0, to the value of x, straight in x or in its logarithm."""
    import numpy as np

    logs = in_logs and min(across) > 0
    marks = np.log(across) if logs else np.asarray(across, dtype=float)

    def x_at(column: float) -> float:
        there = float(np.interp(column, range(len(across)), marks))
        return math.exp(there) if logs else there

    return x_at
