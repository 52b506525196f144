"""The style of every plot: fonts, colours, markers and lines.

A figure is drawn at 120 mm, so that its smallest letters are still 6 points high when it is set 90 mm wide in print,
and about 13 pixels high in the report. Backgrounds stay transparent; text and axes are of one ink that the report
replaces by the colour of its own text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..experiment.schema import Experiment

INK = "#1c2126"
SIZE = (4.72, 3.15)  # inches; 120 mm wide
DPI = 240
FONT = "DejaVu Sans"  # comes with matplotlib, so a plot has the same layout on every machine
SMALL, NORMAL, LARGE = 8.0, 8.5, 10.0

# Okabe and Ito's eight without yellow and black; orange and sky blue darkened, vermillion shifted away from orange,
# until each stands out at least 3:1 from white and from the dark page alike.
PALETTE = ("#0072b2", "#c58700", "#009e73", "#d0480a", "#cc79a7", "#3a95cc", "#8a63c9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
GREY = "#858b91"


@dataclass(frozen=True)
class LineStyle:
    """What tells one variant from the others: by colour on a screen, by marker and dashes in grey print."""

    colour: str
    marker: str
    dash: Any = "-"
    width: float = 1.6
    size: float = 4.5


def looks(experiment: Experiment) -> dict[str, LineStyle]:
    """The look of each variant in all plots of an experiment: no two share both colour and marker.

    Colours are given so that those which stand in one plot differ while there are colours. Where a search begins
    depends on the name, so that a variant looks alike in other experiments and beside one's own.
    """
    seen_with: dict[str, set[str]] = {name: set() for name in experiment.variants}
    for plot in experiment.plots:
        drawn = [name for name in plot.variants or experiment.variants if name in seen_with]
        for name in drawn:
            seen_with[name].update(drawn)
    first = [name for plot in experiment.plots for name in plot.variants if name in seen_with]
    chosen: dict[str, LineStyle] = {}
    for name in dict.fromkeys([*first, *experiment.variants]):
        chosen[name] = _next(name, experiment.variants[name].tier, chosen, seen_with[name])
    return chosen


def _next(name: str, tier: str, chosen: dict[str, LineStyle], beside: set[str]) -> LineStyle:
    """The first look that is not taken, of the colour and the marker that the fewest of those beside it have.

    The tier `reference` is there to be read, not to be ranked: thin and grey.
    """
    start = zlib.crc32(name.encode())
    colours = [GREY] if tier == "reference" else _from(PALETTE, start)
    markers = _from(MARKERS, start)
    taken = {(look.colour, look.marker) for look in chosen.values()}
    near = [chosen[other] for other in beside if other in chosen]
    all_looks = [(colour, marker) for colour in colours for marker in markers]
    colour, marker = min(
        [look for look in all_looks if look not in taken] or all_looks,
        key=lambda look: (
            sum(other.colour == look[0] for other in near),
            sum(other.marker == look[1] for other in near),
        ),
    )
    dash = DASHES[MARKERS.index(marker) % len(DASHES)]
    if tier == "reference":
        return LineStyle(colour, marker, dash, width=0.8, size=3)
    return LineStyle(colour, marker, dash)


def _from(choices: tuple[str, ...], start: int) -> tuple[str, ...]:
    start %= len(choices)
    return choices[start:] + choices[:start]


def styles(names: list[str], experiment: Experiment) -> dict[str, LineStyle]:
    """A look for each line: that of a variant of this name, or of the nth value of another hue."""
    known = looks(experiment)
    return {name: known.get(name) or nth_style(index) for index, name in enumerate(names)}


def nth_style(index: int) -> LineStyle:
    """The look of the nth line: the numbers of colours and of markers share no factor, so 77 differ."""
    return LineStyle(
        PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)]
    )


def applied() -> AbstractContextManager[None]:
    """matplotlib's settings for our figures, for the length of a `with`, so nobody else's are touched."""
    from matplotlib import rc_context

    chosen: Any = {
        "font.family": FONT,
        "font.size": NORMAL,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": INK,
        "grid.alpha": 0.13,
        "grid.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "xtick.major.width": 0.6,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "xtick.minor.size": 0,
        "legend.frameon": False,
        "legend.fontsize": SMALL,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",  # text stays text: it can be searched, and takes the colour of the page
        "pdf.fonttype": 42,  # whole letters: what publishers ask for, and can be searched
        "svg.hashsalt": "lab",  # the same plot gives the same file
        "text.parse_math": False,  # a name may hold a dollar sign
    }
    return rc_context(chosen)


@contextmanager
def letters_without_layout() -> Iterator[None]:
    """A PDF gets the letters in use without the font's tables for laying them out: matplotlib has placed each letter.

    To cut those tables down to the letters takes half a second for each plot, more than all the rest.
    """
    from fontTools.subset import Options

    before = Options._drop_tables_default
    Options._drop_tables_default = [*before, "GDEF", "GPOS", "GSUB", "MATH", "kern"]
    try:
        yield
    finally:
        Options._drop_tables_default = before
