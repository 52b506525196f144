"""One screen of a run: its figures at one point, its verdicts, the next command. A run ends with it; `lab compare` shows it again,
with the room of the sentences given to claims."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from .claim_lines import also, claims_grid, in_order, legend, untested
from .headline import headline, largest
from .hints import command, settling
from .screen import ago, duration
from .tables import BAD, comparison_grid, point_label, states

if TYPE_CHECKING:
    from ..core.run.results import Results

LINES = 23  # of a terminal of 24: the prompt takes the last
SUMMARY = 4  # lines
ROWS = 6  # rows of the table, besides the user's own, before claims that hold get a line
WORTH_IT = 7  # times the replicates that are there: more of them are not proposed
OPEN = ("fails here", "unclear", "preview", "not trained enough")


def print_last_screen(results: Results, screen: Console) -> None:
    """The end of a run."""
    run = results.run
    following = [command("compare", run, run.folder.parent.name)]
    following.append(command("report", run))
    following.append(str(run.folder))
    when = duration(float(results.facts["seconds"]))
    _print(results, screen, when, _summary(results, screen), following, LINES)


def print_one_screen(results: Results, screen: Console) -> None:
    """A run that was before: as much as the terminal holds."""
    lines = max(LINES, screen.height - 1) if screen.is_terminal else LINES
    following = [command("compare", results.run, results.experiment.name, "--all")]
    summary = _summary(results, screen) if lines >= LINES + SUMMARY + 1 else []
    _print(results, screen, ago(results.facts["started"]), summary, following, lines)


def _print(
    results: Results, screen: Console, when: str, summary: list[Text], following: list[str], lines: int
) -> None:
    head = [*lines_of(screen, Text.from_markup(_head(results, when, screen.width))), Text(), *summary]
    tail = [*_needed(results), *_legend(results, screen)]
    room = lines - len(head) - len(tail) - len(_next(results, following, screen))
    table = _table(results, screen, room)
    claims = _claims(results, screen, room - len(table))
    spare = max(room - len(table) - len(claims), 0)
    for line in [*head, *table, *claims, *_notes(results)[:spare], *tail]:
        screen.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    for line in _next(results, following, screen):
        screen.print(line, soft_wrap=True)  # a command is copied whole


def _head(results: Results, when: str, width: int) -> str:
    from ..core.analysis.verdicts import tally

    facts = results.facts
    threads = f", {facts['threads']} threads" if facts["threads"] > 1 else ""
    preset = f" ({escape(str(facts['preset']))})" if facts["preset"] else ""
    parts = [
        f"[name]{results.experiment.name}[/]",
        when,
        f"run {results.run.id}{preset}",
        f"{str(facts['device']).upper()}{threads}",
        tally(results.verdicts),
    ]
    whole = " · ".join(part for part in parts if part)
    return whole if Text.from_markup(whole).cell_len <= width else " · ".join([*parts[:3], *parts[4:]])


def _summary(results: Results, screen: Console) -> list[Text]:
    """The first sentences, as many as stand in a few lines, and an empty line."""
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z(])", results.summary) if results.summary else []
    for count in range(len(sentences), 0, -1):
        lines = lines_of(screen, Text(" ".join(sentences[:count])))
        if len(lines) <= SUMMARY or count == 1:
            return [*lines, Text()]
    return []


def _table(results: Results, screen: Console, room: int) -> list[Text]:
    """The headline's table, an empty line behind it: at least its first rows, and more where claims leave room."""
    found = headline(results)
    if found is None:
        return []
    made, first = found
    rows = made.tiers[0].rows
    own = sum(row.own for row in rows)
    two_claims = 8 + len(untested(results, screen.width))  # lines, with headings, hints and empty lines
    fewest = min(len(rows), max(first, ROWS + own), max(room - two_claims, 1 + own))
    count = min(len(rows), max(fewest, room - _wanted(results, screen) - 3))
    if count == len(rows) - 1:
        count = len(rows)  # that one line would say that one is left out
    grid, _ = comparison_grid(
        replace(made, tiers=[replace(made.tiers[0], rows=rows[:count])]),
        screen,
        corner=point_label(results.experiment, largest(results.experiment)),
    )
    lines = lines_of(screen, grid)
    if left := len(rows) - count:
        more = command("compare", results.run, results.experiment.name, "--all")
        lines.append(Text(f"{left} more variants: {more}", style="dim"))
    return [*lines, Text()]


def _wanted(results: Results, screen: Console) -> int:
    """Lines that claims would take: a heading, one for each that does not hold, the ids of those that do, an empty line."""
    if not results.verdicts:
        return 0
    holding = [verdict for verdict in results.verdicts if verdict.word == "holds"]
    others = sum(1 for verdict in results.verdicts if verdict.word not in ("holds", "not tested"))
    ids = also(holding, screen.width, LINES, "")[0]
    return 2 + others + len(ids) + len(untested(results, screen.width))


def _claims(results: Results, screen: Console, room: int) -> list[Text]:
    """A line for each claim that fails or is open, and for as many of the others as fit; then the ids of the rest, what cannot be
    tested, and an empty line. Room that is left goes to what the first of them say."""
    if not results.verdicts:
        return []
    verdicts = [verdict for verdict in in_order(results.verdicts) if verdict.word != "not tested"]
    without = [Text(f"   {line}", style="dim") for line in untested(results, screen.width)]
    room -= 2 + len(without)
    more = command("compare", results.run, results.experiment.name, "--claims")
    alone = sum(1 for verdict in verdicts if verdict.word != "holds")
    chosen: tuple[int, list[str]] = (0, [])
    for count in range(min(len(verdicts), max(room, 0)), 0, -1):
        rest, is_whole = also(verdicts[count:], screen.width, room - count, more)
        if rest or count == len(verdicts):
            chosen = count, rest
        if is_whole or count <= min(alone, max(room - 1, 1)):
            break
    count, rest = chosen
    grid, has_sentences = claims_grid(verdicts[:count], results.experiment, screen.width)
    head, *rows = lines_of(screen, grid) if count else [Text()]
    spare = 0 if has_sentences else room - count - len(rest)
    lines = [head]
    for at, row in enumerate(rows):
        says = [Text(f"   {verdicts[at].says}", style="dim", overflow="ellipsis", no_wrap=True)]
        lines += [row, *(says if at < spare else [])]
    return [*lines, *(Text(line, style="dim") for line in rest), *without, Text()]


def _needed(results: Results) -> list[Text]:
    """What is wrong or failed, and what a reader must know of the figures."""
    problems = states(results, BAD)
    more = command("compare", results.run, results.experiment.name, "--all")
    if len(problems) > 3:
        problems = [*problems[:2], f"{len(problems) - 2} more: {more}"]
    count = len(results.warnings)
    of = f"note 1 of {count} ({more})" if count > 1 else "note"
    found = [(line, "bad") for line in problems] + [
        (f"{of}: {line}", "open") for line in results.warnings[:1]
    ]
    return [Text(line, style=style, no_wrap=True, overflow="ellipsis") for line, style in found]


def _notes(results: Results) -> list[Text]:
    """What is said where lines are left: variants that the table lacks because they refused, and the A/A control."""
    control = _control(results)
    lines = [*_refused_here(results), *([control] if control else [])]
    return [Text(line, style="dim") for line in lines]


def _refused_here(results: Results) -> list[str]:
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


def _legend(results: Results, screen: Console) -> list[Text]:
    if not results.verdicts:
        return []
    return lines_of(screen, Text(legend(results.verdicts, results.experiment.noun), style="dim"))


def _next(results: Results, following: list[str], screen: Console) -> list[Text]:
    """What to type next, and where the run lies: two lines where one is too short."""
    first = [verdict for verdict in in_order(results.verdicts) if verdict.word in OPEN][:1]
    name = results.experiment.name
    explained = [command("explain", results.run, f"{name}/{verdict.claim}") for verdict in first]
    most = results.experiment.replicates * WORTH_IT
    nearest = sorted((v.more, at) for at, v in enumerate(results.verdicts) if v.more and v.more <= most)
    settled = [found for _, at in nearest if (found := settling(results.verdicts[at], results))][:1]
    lines: list[Text] = []
    for one in [*settled, *explained, *following]:
        part = Text(one, style="cyan" if one.startswith("lab ") else "quiet")
        if lines and lines[-1].cell_len + 3 + part.cell_len <= screen.width:
            lines[-1].append(" · ").append_text(part)
        else:
            lines.append(Text("next  " if not lines else "      ").append_text(part))
    return lines


def lines_of(screen: Console, what: RenderableType) -> list[Text]:
    """A renderable as lines of this screen."""
    lines = []
    for line in screen.render_lines(what, screen.options.update(height=None), pad=False):
        text = Text(no_wrap=True, overflow="ellipsis")
        for segment in line:
            text.append(segment.text, segment.style)
        text.rstrip()
        lines.append(text)
    return lines
