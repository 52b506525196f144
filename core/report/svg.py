"""A plot's SVG as a piece of an HTML page, where ids and colours are shared with everything else."""

from __future__ import annotations

import re

from . import style


def inline(svg: str, prefix: str, name: str) -> str:
    """The SVG element alone, called `name` where it has no title: every id below `prefix`, ink in the colour of the text, as wide as its place.

    matplotlib calls its parts `axes_1`, `line2d_1` in every file, so two plots of one page would share their clip
    paths; and its title would pop up under the mouse, so it becomes a label for those who cannot see the plot.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<(?:path|use|rect|circle)\b[^>]*>", _shortened, svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = svg.replace(style.INK, "currentColor")
    title = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
    spots = re.search(r'\bdata-spots="[^"]*"', svg)
    label = title[1].strip().replace('"', "&quot;") if title else name
    if title:
        svg = svg.replace(title[0], "", 1)
    box = re.search(r'viewBox="([^"]+)"', svg)
    view = f' viewBox="{box[1]}"' if box else ""
    # A function, because a title may hold what means something in a replacement, such as \\Delta.
    return re.sub(
        r"<svg\b[^>]*>",
        lambda _: f'<svg role="img" aria-label="{label}"{view}{f" {spots[0]}" if spots else ""}>',
        svg,
        count=1,
    ).strip()


def _shortened(tag: re.Match[str]) -> str:
    """Places to a hundredth of a point."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0])
