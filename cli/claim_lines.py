"""The claims of a run, a line each: those that fail or are open before those that hold."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells
from rich.markup import escape
from rich.table import Table as Grid

from .screen import GAP, styled_word, table

if TYPE_CHECKING:
    from ..core.analysis.verdicts import Verdict
    from ..core.experiment.schema import Experiment
    from ..core.run.results import Results

ORDER = ("fails here", "unclear", "preview", "not trained enough", "other device", "holds", "not tested")
LETTERS = {"C": "C counted", "T": "T timed", "R": "R trained"}
WIDEST = 16  # columns of a source's figure
SENTENCE = 40  # the least columns in which a sentence is worth beginning


def in_order(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """What fails, what is open, what was claimed for another device, what holds: there what is sampled before what is counted."""
    from ..core.report.words import family

    return sorted(verdicts, key=lambda verdict: (ORDER.index(family(verdict.word)), verdict.letter == "C"))


def claims_grid(verdicts: Sequence[Verdict], experiment: Experiment, width: int) -> tuple[Grid, bool]:
    """A line for each: letter, id, what the source says where there is room, its figure, ours, the verdict; and whether there
    was room."""
    columns = [
        ["", *(verdict.letter for verdict in verdicts)],
        ["claim", *(verdict.claim for verdict in verdicts)],
        ["here", *(verdict.here or "-" for verdict in verdicts)],
        ["", *(verdict.word for verdict in verdicts)],
    ]
    rest = width - sum(max(map(cell_len, column)) + GAP for column in columns)
    columns = [[*map(escape, column)] for column in columns]
    columns[3] = ["", *(styled_word(verdict.word) for verdict in verdicts)]
    figures = [paper(verdict, experiment) for verdict in verdicts]
    if any(figures) and rest >= (narrowest := len("paper")):  # else it is left to `lab explain`
        figures = [cut(figure, max(narrowest, min(rest, WIDEST))) for figure in figures]
        columns.insert(2, ["paper", *map(escape, figures)])
        rest -= max(map(cell_len, ["paper", *figures])) + GAP
    if has_room := rest >= SENTENCE:
        said = (f"[quiet]{escape(cut(verdict.says, rest))}[/]" for verdict in verdicts)
        columns.insert(2, ["", *said])
    head, *rows = zip(*columns, strict=True)
    return table(head, rows), has_room


def cut(text: str, columns: int) -> str:
    """The text on one line, within so many columns."""
    text = " ".join(text.split())
    if cell_len(text) <= columns:
        return text
    return chop_cells(text, columns - 1)[0].rstrip() + "…" if columns > 1 else "…"[: max(columns, 0)]


def also(verdicts: Sequence[Verdict], width: int, lines: int, more: str) -> tuple[list[str], bool]:
    """The claims that have no line of their own, by their ids within so many lines: `holds: a, b, c`; `more` shows the rest. And
    whether none is left out."""
    if not verdicts or lines < 1:
        return [], not verdicts
    for count in range(len(verdicts), -1, -1):
        words: dict[str, list[str]] = {}
        for verdict in verdicts[:count]:
            words.setdefault(verdict.word, []).append(verdict.claim)
        said = [f"{word}: {', '.join(ids)}" for word, ids in words.items()]
        if left := len(verdicts) - count:
            noun = "claims" if left > 1 else "claim"
            said.append(f"{left} {f'more {noun}' if count else noun}: {more}")
        found = textwrap.wrap("; ".join(said), width - 3, break_on_hyphens=False, break_long_words=False)
        if len(found) <= lines:
            break
    return [f"   {line}" for line in found], not left


def untested(results: Results, width: int) -> list[str]:
    """What this run cannot test, in one line: `7 need accuracy, format, reverse: the full run: lab run grpo`."""
    verdicts = [verdict for verdict in results.verdicts if verdict.word == "not tested"]
    if not verdicts:
        return []
    experiment, facts = results.experiment, results.facts
    there = set(results.values["variant"]) | set(results.status["variant"])
    lacking = [[v for v in verdict.variants if v not in there] for verdict in verdicts]
    names = dict.fromkeys(name for some in lacking for name in some)
    lines = []
    if names:
        count = sum(1 for some in lacking if some)
        source = "another preset" if facts["full"] else f"the full run: lab run {experiment.name}"
        start = f"{count} need{'s' if count == 1 else ''} "
        room = width - len(start) - len(source) - 5
        lines.append(f"{start}{cut(', '.join(names), room)}: {source}")
    rest = [verdict for verdict, some in zip(verdicts, lacking, strict=True) if not some]
    if rest:
        why = f"{rest[0].detail}" if len(rest) == 1 else f"{rest[0].claim}: {rest[0].detail}, …"
        lines.append(f"{len(rest)} not tested: {why}")
    return lines


def paper(verdict: Verdict, experiment: Experiment) -> str:
    """The figure of the source, with its device where that is another: `1.3x, V100`."""
    from ..core.report.words import quoted

    claim = next(claim for claim in experiment.claims if claim.id == verdict.claim)
    device = claim.setting.get("device")
    figure = quoted(verdict.paper, verdict.measure, verdict.unit)
    return ", ".join(str(part) for part in (figure, device) if part)


def legend(verdicts: Sequence[Verdict], noun: str) -> str:
    """The letters and stars that stand there, and how many of the claims are false by chance."""
    from ..core.analysis.verdicts import by_chance

    parts = [
        text for letter, text in LETTERS.items() if any(verdict.letter == letter for verdict in verdicts)
    ]
    parts += [f"for {limit}" for limit in dict.fromkeys(verdict.holds_for for verdict in verdicts) if limit]
    if any(verdict.word.endswith("*") for verdict in verdicts):
        parts.append("* other device")
    few = [
        said
        for verdict in verdicts
        if (said := no_interval(verdict.replicates, noun)) and verdict.letter != "C"
    ]
    parts += [*few[:1], *filter(None, [by_chance(verdicts)])]
    return "  ".join(parts)


def no_interval(n: int, noun: str) -> str:
    """`two repeats: no interval`; empty where there are enough for one."""
    from ..core.analysis.statistics import FEWEST

    words = ("one", "two", "three", "four", "five", "six")
    return f"{words[n - 1]} {noun}{'s' if n > 1 else ''}: no interval" if 0 < n < FEWEST else ""
