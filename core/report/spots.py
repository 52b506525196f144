"""Where each measured value stands in a figure, and its words: what a page shows under the mouse or the keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .layout import INCH, shown
from .marks import SERIES
from .series import Picture
from .style import LineStyle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 120  # values of a line that can be pointed at, evenly among its steps


def spots(
    figure: Figure, picture: Picture, looks: Mapping[str, LineStyle], words: Mapping[tuple[str, Any], str]
) -> str:
    """JSON: for each series [label, colour, [[x, y, words], …]], in points of the SVG from its upper left corner.

    Args:
        words: of a value, by the name of its series and its place.
    """
    found: dict[int, list[list[Any]]] = {}
    point, height = INCH / figure.dpi, figure.get_size_inches()[1] * INCH
    for axes in figure.axes:
        for line in axes.get_lines():
            name = str(line.get_gid() or "")
            if not name.startswith(SERIES):
                continue
            number, _, at = name.removeprefix(SERIES).partition("-")
            series = picture.series[int(number)]
            places = [series.x[int(at)]] if at else series.x
            every = max(1, -(-len(places) // MOST))
            pixels = axes.transData.transform(line.get_xydata())
            for place, (x, y) in list(zip(places, pixels, strict=True))[::every]:
                spot = [round(float(x) * point, 1), round(height - float(y) * point, 1)]
                found.setdefault(int(number), []).append([*spot, shown(words[series.name, place])])
    return json.dumps(
        [
            [shown(picture.series[number].label), looks[picture.series[number].name].colour, places]
            for number, places in sorted(found.items())
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )
