"""A search tree as it was at several budgets: what each step is rated beside what it is worth.

Depth goes to the right, a leaf has a line of its own. Each step is a box with two bars: above what the scorer gives, below the
true value; the answer that was given has a thick edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..safe_text import one_line
from ..search_tree import SearchTree, TreeStep
from . import style

if TYPE_CHECKING:
    from markupsafe import Markup

COLUMN, LINE, GAP, BAR = 156, 30, 14, 5  # pixels
LETTERS = 17  # of a step's text in its box
SCORE, VALUE = style.PALETTE[0], style.PALETTE[2]


@dataclass(frozen=True)
class Grown:
    """The tree at one budget: `said` is `64 tokens, 21 steps`."""

    said: str
    svg: Markup
    plain: str


@dataclass(frozen=True)
class TreeDrawing:
    """All that the templates say of a search tree; `of` as in `cuts.Drawing`."""

    title: str
    of: str
    problem: str
    grown: list[Grown]


def tree_drawing(tree: SearchTree, of: str = "") -> TreeDrawing:
    """The tree at each of its budgets at which it has steps."""
    grown = []
    for budget in tree.budgets:
        steps = [number for number, step in enumerate(tree.steps) if step.spent <= budget]
        if steps:
            said = f"{budget} tokens, {len(steps)} step{'s' * (len(steps) != 1)}"
            grown.append(Grown(said, _svg(tree, steps, said), _plain(tree, steps)))
    return TreeDrawing(tree.title, of, one_line(tree.problem), grown)


def _children(tree: SearchTree, steps: Sequence[int]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for number in steps:
        children.setdefault(tree.steps[number].parent, []).append(number)
    return children


def _given(tree: SearchTree) -> set[int]:
    """The steps of the answer that was given."""
    path, number = set(), tree.chosen
    while number >= 0:
        path.add(number)
        number = tree.steps[number].parent
    return path


def _places(tree: SearchTree, steps: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Of each step its depth and its line: a leaf has one of its own, others stand in the middle of their children."""
    children, places, lines = _children(tree, steps), {}, 0

    def place(number: int, depth: int) -> float:
        nonlocal lines
        below = [place(child, depth + 1) for child in children.get(number, ())]
        if not below:
            lines += 1
        line = (below[0] + below[-1]) / 2 if below else lines - 1.0
        places[number] = depth, line
        return line

    for root in children.get(-1, ()):
        place(root, 0)
    return places


def _svg(tree: SearchTree, steps: Sequence[int], said: str) -> Markup:
    from markupsafe import Markup, escape

    places, given = _places(tree, steps), _given(tree)
    width = (1 + max(depth for depth, _ in places.values())) * (COLUMN + GAP)
    height = LINE * (1 + max(line for _, line in places.values()))
    parts = [
        f'<svg role="img" aria-label="{escape(said)}" viewBox="-2 -2 {width + 4} {height + 4:g}" style="width:{width + 4}px">'
    ]
    for number, (depth, line) in places.items():
        step, x, y = tree.steps[number], depth * (COLUMN + GAP), line * LINE
        if step.parent in places:
            before = places[step.parent][1] * LINE + LINE / 2 - 2
            parts.append(
                f'<path d="M{x - GAP} {before:g}L{x} {y + LINE / 2 - 2:g}" stroke="{style.GREY}" fill="none"/>'
            )
        edge = 2 if number in given else 0.5
        parts.append(f"<g><title>{escape(_said(step))}</title>")
        parts.append(
            f'<rect x="{x}" y="{y:g}" width="{COLUMN}" height="{LINE - 4}" fill="none" stroke="currentColor" stroke-width="{edge}"/>'
            f'<text x="{x + 4}" y="{y + 12:g}" font-size="11" fill="currentColor">{escape(_text(step))}</text>'
        )
        for at, share, colour in ((15, step.score, SCORE), (21, step.value, VALUE)):
            parts.append(
                f'<rect x="{x + 1}" y="{y + at:g}" width="{(COLUMN - 2) * min(max(share, 0), 1):.1f}" height="{BAR - 1}" fill="{colour}"/>'
            )
        parts.append("</g>")
    return Markup("".join([*parts, "</svg>"]))


def _text(step: TreeStep) -> str:
    text = one_line(step.text)
    text = text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
    return text + (f" ×{step.times}" if step.times > 1 else "")


def _said(step: TreeStep) -> str:
    return f"{one_line(step.text)}: rated {step.score:.2f}, worth {step.value:.2f}"


def _plain(tree: SearchTree, steps: Sequence[int]) -> str:
    """
    rated worth
     0.88  0.81  7+5=2 ×3
     0.71  0.64  └ 2+8=0
    """
    children, given = _children(tree, steps), _given(tree)

    def lines(number: int, before: str, branch: str) -> Iterator[str]:
        step = tree.steps[number]
        mark = "*" if number in given else " "
        yield f"{mark}{step.score:5.2f} {step.value:5.2f}  {before}{branch}{_text(step)}"
        below = children.get(number, [])
        inside = before + {"├ ": "│ ", "└ ": "  "}.get(branch, "")
        for child in below:
            yield from lines(child, inside, "└ " if child == below[-1] else "├ ")

    found = [line for root in children.get(-1, ()) for line in lines(root, "", "")]
    return "\n".join([" rated worth", *found])
