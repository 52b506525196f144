"""Draws inside the axes: lines with intervals, bands, dots in rows, claimed figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..safe_text import one_line
from . import style
from .claimed import Line
from .series import Picture, Series
from .style import LineStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 15.0  # points between two rows of dots
SERIES = "series-"  # and its number, by which what was measured is known among what is drawn; of a dot also the place
# Where the label of a claimed line may stand: left, right or in the middle; so many pixels above or below it.
LABEL_POSITIONS = ((0.0, 10), (1.0, 10), (0.5, 10), (0.0, -10), (1.0, -10), (0.5, -10))


def draw_lines(ax: Axes, picture: Picture, styles: Mapping[str, LineStyle]) -> None:
    """One line per series; the interval of a point is a vertical stroke through it."""
    for number, series in enumerate(picture.series):
        line_style = styles[series.name]
        ax.plot(
            series.x,
            series.y,
            label=series.label,
            color=line_style.colour,
            linestyle=line_style.dash,
            linewidth=line_style.width,
            marker=line_style.marker,
            markersize=line_style.size,
            markeredgewidth=0,
            gid=f"{SERIES}{number}",
            zorder=2 if line_style.colour == style.GREY else 3,
        )
        _strokes(ax, series, series.x, line_style)


def draw_limits(ax: Axes, limits: Sequence[Series]) -> None:
    """What no variant can pass: thin, dashed, without markers. Roofs have their names at their feet, along their slope."""
    from matplotlib.transforms import offset_copy

    for number, limit in enumerate(limits):
        label = limit.label if number == 0 else None
        ax.plot(
            limit.x, limit.y, label=label, color=style.INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1
        )
        if label is None:
            (x, further), (y, higher) = limit.x[:2], limit.y[:2]
            ax.text(
                x,
                y,
                limit.label,
                transform=offset_copy(ax.transData, ax.get_figure(root=True), x=-1, y=3, units="points"),
                rotation=math.degrees(
                    math.atan2(higher - y, further - x)
                ),  # which the scales of the axes then turn
                rotation_mode="anchor",
                transform_rotates_text=True,
                fontsize=style.SMALL - 0.5,
            )


def draw_predicted(ax: Axes, lines: Sequence[Series], styles: Mapping[str, LineStyle]) -> None:
    """What was predicted for a variant, in its colour: thin, dashed, without markers, below what was measured."""
    for line in lines:
        ax.plot(
            line.x,
            line.y,
            color=styles[line.name].colour,
            linewidth=0.9,
            linestyle=(0, (5, 3)),
            zorder=1.5,
            gid="predicted",
        )


def draw_bands(ax: Axes, picture: Picture, styles: Mapping[str, LineStyle]) -> None:
    """Curves over steps, each with a band; a few markers tell them apart without colour. What was paid before step 0 is
    dotted, from 0."""
    for number, series in enumerate(picture.series):
        line_style = styles[series.name]
        ax.plot(
            series.x,
            series.y,
            label=series.label,
            color=line_style.colour,
            linestyle=line_style.dash,
            linewidth=line_style.width,
            marker=line_style.marker,
            markersize=line_style.size - 0.5,
            markeredgewidth=0,
            markevery=0.15,  # of the diagonal, wherever the steps lie
            gid=f"{SERIES}{number}",
            zorder=3,
        )
        ax.fill_between(
            series.x, series.low, series.high, color=line_style.colour, alpha=0.16, linewidth=0, zorder=1
        )
        if series.paid:
            ax.plot(
                [0, series.x[0]],
                [series.y[0]] * 2,
                color=line_style.colour,
                linewidth=1.1,
                linestyle=(0, (1, 2)),
                zorder=2,
                gid="paid",
            )


def draw_dots(
    ax: Axes,
    picture: Picture,
    styles: Mapping[str, LineStyle],
    texts: Mapping[tuple[str, object], str],
    predicted: Mapping[tuple[str, object], float],
) -> int:
    """Rows of dots for what has no order (variants, dtypes), the value written beside each, a dashed stroke where it was
    predicted. Returns the rows used."""
    row, labels = 0, []
    alone = all(len(series.x) == 1 and str(series.x[0]) == series.name for series in picture.series)
    several = len(picture.series) > 1 and not alone
    for position in picture.x:
        first = row
        for number, series in enumerate(picture.series):
            if position not in series.x:
                continue
            at = series.x.index(position)
            line_style = styles[series.name]
            value, low, high = series.y[at], series.low[at], series.high[at]
            if (expected := predicted.get((series.name, position))) is not None:
                ax.vlines(
                    [expected],
                    [row - 0.4],
                    [row + 0.4],
                    color=line_style.colour,
                    linewidth=1.2,
                    linestyles=(0, (2, 1)),
                    gid="predicted",
                )
            if not math.isnan(low):
                ax.hlines([row], [low], [high], color=line_style.colour, linewidth=line_style.width, zorder=2)
            ax.plot(
                [value],
                [row],
                line_style.marker,
                color=line_style.colour,
                markersize=line_style.size + 1,
                markeredgewidth=0,
                clip_on=False,  # a dot at zero, or at the largest value, is a whole dot
                label=series.label if series.name not in labels else None,
                gid=f"{SERIES}{number}-{at}",
            )
            labels.append(series.name)
            ax.annotate(
                texts[series.name, position],
                (value if math.isnan(high) else high, row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=style.SMALL,
            )
            row += 1
        ax.text(
            -0.015,
            (first + row - 1) / 2,
            str(position),
            transform=ax.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=style.SMALL,
        )
        row += 0 if not several else 1
    rows = max(1, row - (1 if several else 0))
    ax.set_ylim(rows - 0.4, -0.6)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return rows


def draw_reference(ax: Axes, value: float, is_height: bool) -> None:
    """Where nothing differs: a ratio's 1, a difference's 0."""
    (ax.axhline if is_height else ax.axvline)(
        value, color=style.INK, linewidth=0.8, alpha=0.6, zorder=1, gid="reference"
    )


def draw_shade(ax: Axes, low: float, high: float, label: str) -> None:
    """A tint over what is seen of a stretch of x, and its name above the axes; the axes stay as they are."""
    left, right = ax.get_xlim()
    low, high = max(low, left), min(high, right)
    if low >= high:
        return
    ax.axvspan(low, high, color=style.INK, alpha=0.07, linewidth=0, zorder=0, gid="shade")
    ax.set_xlim(left, right)
    is_left = low == left or ax.transData.transform((low, 1))[0] < (ax.bbox.x0 + ax.bbox.x1) / 2
    ax.annotate(
        one_line(label),
        (low if is_left else high, 1),
        xycoords=ax.get_xaxis_transform(),
        xytext=(0, 2),
        textcoords="offset points",
        ha="left" if is_left else "right",
        fontsize=style.SMALL - 0.5,
    )


def draw_claimed(ax: Axes, lines: Sequence[Line], picture: Picture) -> list[Line]:
    """Claimed figures that lie on the scale of the data; those far outside would squeeze what was measured."""
    shown = [line for line in lines if _is_near(line.value, picture.y, ax.get_yscale() == "log")]
    taken: list[tuple[float, float]] = []
    for line in shown:
        ax.axhline(line.value, color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1, gid="claimed")
    for line in shown:
        across, up = max(LABEL_POSITIONS, key=lambda at: _room(ax, picture, at, line.value, taken))
        taken.append((across, _pixel(ax, line.value) + up))
        ax.annotate(
            line.label,
            (across, line.value),
            xycoords=ax.get_yaxis_transform(),
            xytext=(2 - 4 * across, 2.5 if up > 0 else -2.5),
            textcoords="offset points",
            ha={0.0: "left", 1.0: "right"}.get(across, "center"),
            va="bottom" if up > 0 else "top",
            fontsize=style.SMALL - 0.5,
        )
    return shown


def _strokes(ax: Axes, series: Series, x: Sequence[float], line_style: LineStyle) -> None:
    known = [i for i, low in enumerate(series.low) if not math.isnan(low)]
    if known:
        ax.vlines(
            [x[i] for i in known],
            [series.low[i] for i in known],
            [series.high[i] for i in known],
            color=line_style.colour,
            linewidth=line_style.width,
            capstyle="round",
            zorder=2,
        )


def _is_near(value: float, data: Sequence[float], log: bool) -> bool:
    """Within the data, or outside them by no more than their own span."""
    if not data or (log and value <= 0):
        return False
    if log:
        low, high, value = math.log(min(data)), math.log(max(data)), math.log(value)
        span = max(high - low, math.log(2))
    else:
        low, high = min(data), max(data)
        span = max(high - low, 0.5 * max(abs(low), abs(high)))
    return low - span <= value <= high + span


def _room(
    ax: Axes, picture: Picture, at: tuple[float, int], value: float, taken: Sequence[tuple[float, float]]
) -> float:
    """How far a label on a claimed line is from the lines and from other labels, in pixels; 25 are plenty."""
    import numpy as np

    across, up = at
    box = ax.bbox
    width = box.width / 3
    start = box.x0 + across * (box.width - width)
    middle = _pixel(ax, value) + up  # of the letters
    room = 25.0
    for series in picture.series:
        x, y = ax.transData.transform(np.column_stack([series.x, series.y])).T
        spots = np.linspace(max(start, x.min()), min(start + width, x.max()), 7)
        if spots[0] <= spots[-1]:
            room = min(room, float(np.abs(np.interp(spots, x, y) - middle).min()))
    return min([room, *(abs(height - middle) for other, height in taken if other == across)])


def _pixel(ax: Axes, value: float) -> float:
    return float(ax.transData.transform((1, value))[1])
