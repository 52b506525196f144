"""The layout around the axes: title above, names at the line ends, notes below. All in points."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..safe_text import visible
from . import marks, style, ticks
from .privacy import scrub

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCH = 72.0
EDGE = 6.0
HEIGHT = 142.0  # of the axes, for lines
SIDE = 32  # characters of the y axis' name before it is broken
NAME = 22  # characters of a variant's name before it is broken
CAPTION = 7.5
FAR = 26.0  # between a line's end and its name
TOGETHER = 3.0  # so far apart may the ends of lines lie that have their names there
ABOVE = 10.0  # between the titles and the axes
LEADER = 12.0  # from a line's end across to its name
LEADING = {"arrowstyle": "-", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}


@dataclass(frozen=True)
class Titles:
    """The two lines above a figure."""

    title: str
    subtitle: str


def arrange(
    figure: Figure,
    axes: Axes,
    titles: Titles,
    labels: tuple[str, str],
    notes: Sequence[str],
    *,
    rows: int = 0,
    names: bool = False,
    legend: bool = False,
    tall: float = HEIGHT,
    above: float = ABOVE,
) -> None:
    """Give everything its place; the figure grows downwards with its rows and notes.

    Args:
        labels: of the axes, x and y.
        rows: of dots; 0 for lines.
        names: put each line's name at its end, or into a legend when names would touch.
        legend: a legend in any case.
        tall: points of the axes without rows.
        above: points between the titles and the axes.
    """
    width = style.SIZE[0] * INCH
    x_label, y_label = labels
    heading = _wrapped(titles.title, width, style.LARGE)
    below = [line for note in notes for line in _wrapped(note, width, CAPTION)]
    top = EDGE + len(heading) * style.LARGE * 1.25 + (style.SMALL * 1.5 if titles.subtitle else 0) + above
    middle = rows * marks.ROW if rows else tall
    bottom = 16 + (13 if x_label else 0) + (5 + len(below) * CAPTION * 1.3 if below else 0) + EDGE
    height = top + middle + bottom
    figure.set_size_inches(width / INCH, height / INCH)
    figure.set_label(shown(titles.title))

    if y_label:
        axes.set_ylabel("\n".join(textwrap.wrap(shown(y_label), SIDE)), fontsize=style.SMALL, labelpad=3)
    _place(axes, (0.1 * width, bottom, 0.7 * width, middle), width, height)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    direct = names and bool(_heights_of_names(axes))
    right = _names_width(axes, renderer, direct) if names or legend else EDGE
    left = EDGE + _overhang(axes, renderer)
    if rows:
        right = max(right, 58 if not legend else right + 40)
    _place(axes, (left, bottom, width - left - right - EDGE, middle), width, height)
    ticks.thin_out(axes)

    if direct and (heights := _heights_of_names(axes)):
        _name_ends(axes, heights)
    elif names or legend:
        _legend(axes, by_end=names)
    y = height - EDGE
    for line in heading:
        figure.text(EDGE / width, y / height, line, va="top", fontsize=style.LARGE, fontweight="bold")
        y -= style.LARGE * 1.25
    figure.text(EDGE / width, (y - 1) / height, titles.subtitle, va="top", fontsize=style.SMALL, alpha=0.85)
    if x_label:
        axes.set_xlabel(x_label, fontsize=style.SMALL, labelpad=2)
    for number, line in enumerate(reversed(below)):
        figure.text(
            EDGE / width, (EDGE + number * CAPTION * 1.3) / height, line, fontsize=CAPTION, alpha=0.85
        )


def _place(axes: Axes, box: tuple[float, float, float, float], width: float, height: float) -> None:
    left, bottom, across, up = box
    axes.set_position((left / width, bottom / height, across / width, up / height))


def _overhang(axes: Axes, renderer: Any) -> float:
    """How far tick labels and row names reach out to the left of the axes, in points."""
    box = axes.get_tightbbox(renderer)
    if box is None:
        return 0.0
    return max(0.0, float(axes.bbox.x0 - box.x0) * INCH / axes.figure.dpi)


def _wrapped(text: str, width: float, size: float) -> list[str]:
    """Lines that fit, taking a letter as 0.57 of its height wide and a bold one (of titles) as 0.64."""
    text = shown(text)
    letter = 0.64 if size == style.LARGE else 0.57
    return textwrap.wrap(text, int((width - 2 * EDGE) / (letter * size)))


def _lines(axes: Axes) -> list[Any]:
    """The named lines, from the highest end to the lowest."""
    named = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    return sorted(named, key=lambda line: -float(line.get_ydata()[-1]))


def _heights_of_names(axes: Axes) -> list[float]:
    """Where each line's name stands at its end, in points from below; none where a name would stand too far off."""
    lines = _lines(axes)
    point = INCH / axes.figure.dpi
    across = [float(axes.transData.transform((line.get_xdata()[-1], 1))[0]) * point for line in lines]
    if not lines or max(across) - min(across) > TOGETHER:
        return []
    ends = [
        float(axes.transData.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1]) * point
        for line in lines
    ]
    sizes = [style.SMALL * 1.2 * (1 + _broken(line.get_label()).count("\n")) for line in lines]
    heights = spread(ends, sizes, axes.bbox.y0 * point, axes.bbox.y1 * point)
    return heights if all(abs(a - b) <= FAR for a, b in zip(heights, ends, strict=True)) else []


def spread(ends: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """The heights nearest to `ends`, in the mean square, at which labels of these sizes do not touch.

    Args:
        ends: from the highest to the lowest.
        low, high: between which the labels' middles stay where there is room.
    """
    gaps = [0.0, *((a + b) / 2 for a, b in pairwise(sizes))]
    down = [sum(gaps[: i + 1]) for i in range(len(ends))]
    blocks: list[list[float]] = []  # labels that touch move together, to the mean of where each would be
    for end, offset in zip(ends, down, strict=True):
        blocks.append([end + offset])
        while len(blocks) > 1 and _mean(blocks[-2]) < _mean(blocks[-1]):
            lower = blocks.pop()
            blocks[-1] += lower
    tops = [_mean(block) for block in blocks for _ in block]
    # Below the axes' top and above their foot; the foot gives way where there are more labels than room.
    return [min(max(top, low + down[-1]), high) - offset for top, offset in zip(tops, down, strict=True)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _names_width(axes: Axes, renderer: Any, direct: bool) -> float:
    longest = 0.0
    for line in _lines(axes):
        probe = axes.text(0, 0, _broken(line.get_label()), fontsize=style.SMALL)
        longest = max(longest, probe.get_window_extent(renderer).width * INCH / axes.figure.dpi)
        probe.remove()
    return longest + (LEADER - 3 if direct else 34)


def _name_ends(axes: Axes, heights: Sequence[float]) -> None:
    """The name of each line at its end, with a stroke to the end from a name that had to give way."""
    point = INCH / axes.figure.dpi
    for line, height in zip(_lines(axes), heights, strict=True):
        end = (line.get_xdata()[-1], line.get_ydata()[-1])
        up = height - float(axes.transData.transform(end)[1]) * point
        axes.annotate(
            _broken(line.get_label()),
            end,
            xytext=(LEADER, up),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL,
            annotation_clip=False,
            arrowprops=None if abs(up) < 2 else LEADING | {"color": line.get_color()},
        )


def _legend(axes: Axes, by_end: bool) -> None:
    """A column at the right, in the order in which the lines end, so the eye need not search."""
    lines = _lines(axes)
    if not by_end:
        lines = [line for line in axes.get_lines() if line in lines]
    axes.legend(
        lines,
        [_broken(line.get_label()) for line in lines],
        loc="center left" if by_end else "upper left",
        bbox_to_anchor=(1.01, 0.5 if by_end else 1.0),
        borderaxespad=0,
        handlelength=2.2,
        handletextpad=0.6,
        labelspacing=0.45,
    )


def _broken(name: str) -> str:
    return "\n".join(textwrap.wrap(shown(name), NAME))


def shown(text: str) -> str:
    """A text as it may stand in a figure, which is passed on; before it is broken, so that nothing slips by."""
    return visible(scrub(text))
