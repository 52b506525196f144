"""Scales and their labels: 1,000 and not 10^3, and never two labels on top of each other."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ..analysis import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BYTES = ("B", "KB", "MB", "GB", "TB")
ROUNDING = 1e-9  # of the largest place: what lies below has been left by rounding, and is 0
CROWDED = 8  # more places than this are left to matplotlib's own choice of ticks


def plain(value: float, _position: object = None) -> str:
    """A number as people write it: 0.25, 4,000, 256,000, 16M."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        mantissa, _, power = f"{value:.3g}".partition("e")
        return f"{mantissa}e{int(power)}" if power else mantissa
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if size >= unit:
            return f"{value / unit:,.6g}{name}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(size)))}f}".rstrip("0").rstrip(".")


def log_axes(scale: str, x: list[Any], y: list[float]) -> tuple[bool, bool]:
    """Whether x and y are logarithmic. A logarithm has no place for zero or less: such data stay linear."""
    wants_x, wants_y = scale in ("log-x", "log-log"), scale in ("log-y", "log-log")
    numbers = [value for value in x if isinstance(value, int | float)]
    return wants_x and all(value > 0 for value in numbers), wants_y and all(value > 0 for value in y)


def set_places(ax: Axes, places: list[float], log: bool) -> None:
    """Ticks of the x axis at the places that were measured, when there are few enough to name them; round ones without
    places, as of a metric."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if log:
        ax.set_xscale("log")
    axis = ax.xaxis
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))
    if not places and log:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    elif 0 < len(places) <= CROWDED:
        axis.set_major_locator(FixedLocator(places))
    else:
        axis.set_major_locator(LogLocator() if log else MaxNLocator(6))


def first_decade(places: list[float]) -> float:
    """The power of ten at or below the smallest place above 0."""
    least = min(place for place in places if place > ROUNDING * max(places))
    return 10.0 ** math.floor(math.log10(least) + 1e-9)


def set_from_zero(ax: Axes, places: list[float]) -> None:
    """An x axis that is logarithmic from `first_decade` on and goes straight from there to 0: what has cost nothing yet has
    its place beside what costs tenfold."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    start = first_decade(places)
    ax.set_xscale("symlog", linthresh=start, linscale=0.4, subs=None)
    decades = range(math.floor(math.log10(max(places) / start) + 1e-9) + 1)
    ax.xaxis.set_major_locator(FixedLocator([0.0, *(start * 10.0**n for n in decades)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(plain))


def set_values(ax: Axes, log: bool, unit: str, which: Literal["x", "y"] = "y") -> None:
    """Ticks of the value axis: decades, or 1-2-5 steps when the data span fewer than two. Bytes carry their unit."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis = ax.yaxis if which == "y" else ax.xaxis
    steps = [1, 2, 2.5, 5, 10]
    if log:
        (ax.set_yscale if which == "y" else ax.set_xscale)("log")
        low, high = sorted(ax.get_ylim() if which == "y" else ax.get_xlim())
        decades = math.log10(high / low)
        if decades < 0.5:
            axis.set_major_locator(MaxNLocator(4, steps=steps))
        else:
            axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.2 else (1.0, 2.0, 5.0), numticks=8))
    else:
        axis.set_major_locator(MaxNLocator(5, steps=steps))
    axis.set_minor_locator(NullLocator())
    said = (lambda value, _: digits.format(value, unit=unit)) if unit in BYTES else plain
    axis.set_major_formatter(FuncFormatter(said))


def thin_out(ax: Axes) -> None:
    """Drop x labels that would touch another; the last place is always named, and even steps stay even."""
    low, high = sorted(ax.get_xlim())
    ticks = [float(tick) for tick in ax.get_xticks() if low <= tick <= high]
    point = ax.figure.dpi / 72
    at = {tick: float(ax.transData.transform((tick, 1))[0]) for tick in ticks}
    wide = {tick: (5.4 * len(plain(tick)) + 4) * point for tick in ticks}

    def fits(kept: list[float]) -> bool:
        return all(at[b] - at[a] >= (wide[a] + wide[b]) / 2 for a, b in pairwise(kept))

    if fits(ticks):
        return
    gaps = [at[b] - at[a] for a, b in pairwise(ticks)]
    kept = [ticks[-1]]
    if max(gaps) - min(gaps) < point:
        kept = next(some for every in range(2, len(ticks) + 1) if fits(some := ticks[::-1][::every][::-1]))
    else:
        for tick in reversed(ticks[:-1]):
            if fits([tick, kept[0]]):
                kept.insert(0, tick)
    ax.set_xticks(kept)
