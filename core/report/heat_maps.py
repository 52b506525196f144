"""Tables of numbers in colours, those of one kind side by side: a PNG with a pixel for each value, inside an SVG with its
axes and its scale."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..heat_map import HeatMap, Ticks
from ..safe_text import one_line
from .layout import shown
from .ticks import plain

if TYPE_CHECKING:
    from markupsafe import Markup

# From the lowest to the highest: vermillion and blue of `style`, which all eyes tell apart, and 0 between them. Both grow
# darker towards their ends, so that a map without one of the signs can be read without colour.
STOPS = ("#7a2500", "#d0480a", "#f6f6f6", "#0072b2", "#003a5e")
STEPS = 254  # from the first colour to the last: the middle is one of them
SIDE, LARGEST_CELL = 192, 40  # pixels
LETTER, LINE = 6.2, 12  # pixels of a small letter across and down
TICK = 12  # letters of a tick
SCALE = 64  # pixels of the scale, at least


@dataclass(frozen=True)
class Coloured:
    """One map: `name` is `rope, head 2`, `said` is `64 × 64, from -1 to 1`."""

    name: str
    said: str
    svg: Markup


@dataclass(frozen=True)
class HeatMaps:
    """All that the templates say of the maps of one kind; `own_scales`: not all have the same."""

    title: str
    rows: str
    columns: str
    own_scales: bool
    maps: list[Coloured]


def heat_maps(drawn: Mapping[HeatMap, str]) -> list[HeatMaps]:
    """The maps of each title, rows and columns, in the order in which they come.

    Args:
        drawn: the variants that keep a map, `of` as in `cuts.Drawing`.
    """
    kinds: dict[tuple[str, str, str], list[HeatMap]] = {}
    for one in drawn:
        kinds.setdefault((one.title, one.rows, one.columns), []).append(one)
    return [
        HeatMaps(*kind, len(set(map(ends, maps))) > 1, [_coloured(one, drawn[one]) for one in maps])
        for kind, maps in kinds.items()
    ]


def ends(heat_map: HeatMap) -> tuple[float, float]:
    """What the first and the last colour mean: 0 is in the middle of both signs, or at the end where nothing differs."""
    low, high = heat_map.range or _extremes(heat_map)
    if low < 0 < high:
        high = max(-low, high)
        return -high, high
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0)
    return low, high if low < high else 1.0


def _extremes(heat_map: HeatMap) -> tuple[float, float]:
    return min(map(min, heat_map.values)), max(map(max, heat_map.values))


def colours(low: float, high: float) -> list[tuple[int, int, int]]:
    """`STEPS` + 1 of them, from that of the lowest value to that of the highest."""
    stops = STOPS[:3] if high <= 0 else STOPS[2:] if low >= 0 else STOPS
    points = [bytes.fromhex(stop[1:]) for stop in stops]
    found = []
    for step in range(STEPS + 1):
        at, share = divmod(step * (len(points) - 1) / STEPS, 1)
        before, behind = points[int(at)], points[min(int(at) + 1, len(points) - 1)]
        red, green, blue = (round(a + share * (b - a)) for a, b in zip(before, behind, strict=True))
        found.append((red, green, blue))
    return found


def png(rows: Sequence[bytes], palette: Iterable[tuple[int, int, int]]) -> bytes:
    """A picture with a pixel for each byte of the rows, which says the number of its colour (PNG, third edition, §5 and
    §11.2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    parts = (b"IHDR", head), (b"PLTE", bytes(sum(palette, ()))), (b"IDAT", pixels), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _coloured(heat_map: HeatMap, of: str) -> Coloured:
    low, high = _extremes(heat_map)
    size = f"{len(heat_map.values)} × {len(heat_map.values[0])}"
    said = f"{size}, {f'from {plain(low)} to {plain(high)}' if low < high else f'all {plain(low)}'}"
    name = ", ".join(filter(None, (of, heat_map.caption)))
    return Coloured(name, said, _svg(heat_map, f"{name or heat_map.title}: {said}"))


def _svg(heat_map: HeatMap, said: str) -> Markup:
    from markupsafe import Markup, escape

    low, high = ends(heat_map)
    palette = colours(low, high)
    count, across = len(heat_map.values), len(heat_map.values[0])
    wide, tall = (size * min(max(SIDE // size, 1), LARGEST_CELL) for size in (across, count))
    row_ticks = list(_ticks(heat_map.row_ticks, count, tall / count, 0))
    column_ticks = list(_ticks(heat_map.column_ticks, across, wide / across, LETTER))
    left, top = 25 + LETTER * max(len(text) for _, text in row_ticks), 8
    scale, bar = left + wide + 14, max(tall, SCALE)
    numbers = [(0.0, plain(high)), (1.0, plain(low)), *([(0.5, "0")] if low < 0 < high else [])]
    width = scale + 16 + LETTER * max(len(text) for _, text in numbers)
    height = top + max(tall + 34, bar + 8)
    levels = [bytes(round(STEPS * (x - low) / (high - low)) for x in row) for row in heat_map.values]
    steps = [bytes([round(STEPS * (1 - at / (SCALE - 1)))]) for at in range(SCALE)]

    def text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
        words = escape(shown(one_line(words)))
        return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="currentColor"{more}>{words}</text>'

    def image(x: float, across: float, down: float, content: bytes) -> str:
        box = f'x="{x:g}" y="{top}" width="{across:g}" height="{down:g}"'
        data = base64.b64encode(content).decode()
        return (
            f'<image {box} preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
            f'<rect {box} fill="none" stroke="currentColor" stroke-width="0.5"/>'
        )

    middle = top + tall / 2
    parts = [
        f'<svg role="img" aria-label="{escape(shown(one_line(said)))}" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width:g}px" font-size="11">',
        image(left, wide, tall, png(levels, palette)),
        image(scale, 9, bar, png(steps, palette)),
        *(text(left - 4, top + at + 4, words, "end") for at, words in row_ticks),
        *(text(left + at, top + tall + 14, words, "middle") for at, words in column_ticks),
        *(text(scale + 13, top + bar * at + 4, words, "start") for at, words in numbers),
        text(left + wide / 2, top + tall + 29, heat_map.columns, "middle"),
        text(10, middle, heat_map.rows, "middle", f' transform="rotate(-90 10 {middle:g})"'),
        "</svg>",
    ]
    return Markup("".join(parts))


def _ticks(given: Ticks, size: int, cell: float, letter: float) -> Iterator[tuple[float, str]]:
    """The place of each in pixels, and its words; one that would touch the one before it is left out.

    Args:
        letter: how far one reaches along the axis; 0 where words stand across it.
    """
    every = 2 ** max(0, math.ceil(math.log2(size / 4)))
    free = -math.inf
    for at, words in sorted(given) or [(at, str(at)) for at in range(0, size, every)]:
        words = shown(one_line(words))
        words = words if len(words) <= TICK else words[: TICK - 1] + "…"
        place, room = (at + 0.5) * cell, (letter * len(words) or LINE - 4) + 4
        if place - room / 2 >= free:
            yield place, words
            free = place + room / 2
