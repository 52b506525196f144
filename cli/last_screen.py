"""The last screen of a run: at most 24 lines with its figures, verdicts and the next command."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from ..core.experiment.schema import Experiment
from ..core.run.results import Results
from .screen import duration
from .tables import BAD, claims_grid, comparison, comparison_grid, legend, point_label, states

if TYPE_CHECKING:
    import pandas as pd

    from ..core.analysis.verdicts import Verdict

LINES = 23  # of a terminal of 24: the prompt takes the last
OPEN = ("fails here", "unclear", "preview")  # shown before what holds


def print_last_screen(results: Results, screen: Console) -> None:
    head = [*_lines(screen, Text.from_markup(_head(results))), Text()]
    tail = [Text.from_markup(markup) for markup in _tail(results)]
    summary = [*_lines(screen, Text(results.summary)), Text()] if results.summary else []
    folder = Text(f"   {results.run.folder}", style="quiet")
    fits = tail[-1].cell_len + folder.cell_len <= screen.width
    if fits:
        tail[-1] += folder
    room = LINES - len(head) - len(summary) - len(tail) - (not fits)
    body = _headline(results, screen)
    body = _cut(body, room // 2 + 1, results.experiment.name)
    claims = _fitting_claims(results, screen, room - len(body))
    for line in [*head, *summary, *body, *claims, *tail]:
        screen.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    if not fits:
        screen.print(folder, soft_wrap=True)  # to be copied: one word, whatever its length


def _claims(results: Results, screen: Console, count: int) -> list[Text]:
    """The first so many claims, an empty line behind them."""
    verdicts = _open_first(results.verdicts)
    if not verdicts:
        return []
    lines = _lines(screen, claims_grid(verdicts[:count], results.experiment))
    if count < len(verdicts):
        left = len(verdicts) - count
        more = f"   {left} more claim{'s' if left > 1 else ''}: lab compare {results.experiment.name}"
        lines.append(Text(more, style="dim"))
    return [*lines, Text()]


def _fitting_claims(results: Results, screen: Console, room: int) -> list[Text]:
    """As many claims as fit, at least two."""
    more = bisect_right(
        range(3, len(results.verdicts) + 1), room, key=lambda n: len(_claims(results, screen, n))
    )
    return _claims(results, screen, 2 + more)


def _cut(body: list[Text], most: int, name: str) -> list[Text]:
    """The table within so many lines, an empty one behind it."""
    if not body:
        return []
    if len(body) >= most:
        left = len(body) - most + 2
        body = [*body[: most - 2], Text(f"  {left} more lines: lab compare {name}", style="dim")]
    return [*body, Text()]


def _open_first(verdicts: Any) -> list[Verdict]:
    """Claims that fail or are open, then timed and trained ones that hold, then counted ones, then those that this run has no
    figure for: most of them, in a run of a few variants."""

    def rank(verdict: Verdict) -> int:
        if verdict.word in OPEN or verdict.word.endswith("*"):
            return 0
        if verdict.word == "not tested":
            return 3
        return 1 if verdict.letter != "C" else 2

    return sorted(verdicts, key=rank)


def _lines(screen: Console, what: RenderableType) -> list[Text]:
    """A renderable as lines of this screen."""
    lines = []
    for line in screen.render_lines(what, screen.options.update(height=None), pad=False):
        text = Text(no_wrap=True, overflow="ellipsis")
        for segment in line:
            text.append(segment.text, segment.style)
        text.rstrip()
        lines.append(text)
    return lines


def _head(results: Results) -> str:
    from ..core.analysis.verdicts import tally

    facts = results.facts
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''}"
    parts = [
        f"[name]{results.experiment.name}[/]",
        duration(float(facts["seconds"])),
        f"run {results.run.id}" + (f" ({escape(str(facts['preset']))})" if facts["preset"] else ""),
        tally(results.verdicts),
        f"{str(facts['device']).upper()}, {threads}",
    ]
    return " · ".join(part for part in parts if part)


def _tail(results: Results) -> list[str]:
    """What a reader must know of these figures, and the next command."""
    from ..core.analysis.verdicts import by_chance

    name = results.experiment.name
    problems = states(results, BAD)
    lines = [f"[bad]{escape(line)}[/]" for line in problems[:3]]
    if len(problems) > 3:
        lines.append(f"[bad]{len(problems) - 3} more: lab compare {name}[/]")
    lines += [f"[quiet]{escape(line)}[/]" for line in _refused_here(results)[:2]]
    lines += [f"[open]note: {escape(warning)}[/]" for warning in results.warnings[:2]]
    if (control := _control(results)) is not None:
        lines.append(f"[quiet]{escape(control)}[/]")
    if results.verdicts:
        lines.append(f"[quiet]{legend(results.verdicts)}[/]")
    if said := by_chance(results.verdicts):
        lines.append(f"[quiet]{said}[/]")
    this = name if results.facts["full"] else f"{name} --run {results.run.id}"
    return [*lines, f"next  [command]lab compare {this}[/] · [command]lab report[/]"]


def _refused_here(results: Results) -> list[str]:
    """Variants that the headline's table lacks because they refused."""
    from dataclasses import replace

    point, rows = largest(results.experiment), results.status
    for key in results.experiment.point_keys:
        rows = rows[rows[key] == point[key]]
    return states(replace(results, status=rows), ("refused",))


def _control(results: Results) -> str | None:
    """The baseline timed twice, at the headline's point: how far off the clock can be in the tier that is shown."""
    from ..core.analysis import digits
    from ..core.analysis.statistics import FEWEST

    rows, point = results.control, largest(results.experiment)
    rows = rows[rows["tier"] == results.experiment.variants[results.experiment.baseline].tier]
    for key in results.experiment.point_keys:
        rows = rows[rows[key] == point[key]]
    if rows.empty:
        return None
    row = rows.iloc[0]
    ends = (row["low"], row["high"]) if row["n"] >= FEWEST else (None, None)
    return f"A/A control: {row['variant']} beside itself {digits.format(row['ratio'], *ends, kind='ratio')}"


def _headline(results: Results, screen: Console) -> list[Text]:
    """The baseline's tier at the largest point; the rest is in `lab compare`."""
    experiment = results.experiment
    tier = experiment.variants[experiment.baseline].tier
    point = largest(experiment)
    rows: pd.DataFrame = results.comparison[results.comparison["tier"] == tier]
    for key in experiment.point_keys:
        rows = rows[rows[key] == point[key]]
    made = comparison(experiment, rows)
    if not made:
        return []
    grid, _ = comparison_grid(made[0], screen, corner=point_label(experiment, point))
    return _lines(screen, grid)


def largest(experiment: Experiment) -> dict[str, Any]:
    """What `headline` says, else the largest value of each axis, and what `params` says of the rest."""
    point: dict[str, Any] = {}
    for key in experiment.point_keys:
        values = experiment.axes.get(key)
        if experiment.headline.get(key) in (values or []):
            point[key] = experiment.headline[key]
        elif values is None:
            point[key] = experiment.params[key]
        else:
            numbers = [value for value in values if isinstance(value, int | float)]
            point[key] = max(numbers) if len(numbers) == len(values) else values[-1]
    return point
