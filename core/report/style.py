"""The style of every plot: fonts, colours, markers and lines.

A figure is drawn at 120 mm, so that its smallest letters are still 6 points high when it is set 90 mm wide in print,
and about 13 pixels high in the report. Backgrounds stay transparent; text and axes are of one ink that the report
replaces by the colour of its own text.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
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
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
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


def nth_style(index: int) -> LineStyle:
    """The style of the nth line. Colours repeat after seven, with another dash (four and seven share no factor)."""
    turn = index % len(PALETTE)
    return LineStyle(PALETTE[turn], MARKERS[turn], DASHES[index % len(DASHES)])


def styles(names: list[str], experiment: Experiment) -> dict[str, LineStyle]:
    """A style for each name, the same in all plots of an experiment when the names are its variants.

    The tier `reference` is there to be read, not to be ranked: thin and grey.
    """
    variants = list(experiment.variants)
    ranked = [name for name in variants if experiment.variants[name].tier != "reference"]
    # Those that plots name come first, so that what stands in one plot differs in colour while there are colours.
    named = [name for plot in experiment.plots for name in plot.variants]
    ranked.sort(key=lambda name: named.index(name) if name in named else len(named) + variants.index(name))
    chosen: dict[str, LineStyle] = {}
    for index, name in enumerate(names):
        if name in ranked:
            chosen[name] = nth_style(ranked.index(name))
        elif name in variants:
            nth = [other for other in variants if other not in ranked].index(name)
            chosen[name] = LineStyle(
                GREY, MARKERS[nth % len(MARKERS)], DASHES[nth % len(DASHES)], width=0.8, size=3
            )
        else:
            chosen[name] = nth_style(index)
    return chosen


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
        "svg.hashsalt": "lab",  # the same plot gives the same file
        "text.parse_math": False,  # a name may hold a dollar sign
    }
    return rc_context(chosen)
