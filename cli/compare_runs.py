"""`lab compare NAME --runs A B`: what changed from one run to another."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.padding import Padding

from ..core.safe_text import csv_of
from .options import results_words
from .runs_to_show import run_called
from .screen import out, print_json, stop, styled_word, table, write
from .tables import metric_called
from .text_tables import latex, markdown

if TYPE_CHECKING:
    import pandas as pd

    from ..core.run.results import Results

FEW = 12  # rows on the first screen


def share_of(text: str) -> float:
    """0.05 of `5%` or `0.05`; ends the command where it is neither."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share < math.inf:
        stop(f"--fail-if-worse {text}: a share, such as 5% or 0.05")
    return share


def print_two_runs(
    name: str,
    letters: tuple[str, str],
    results: Path,
    format: str,
    *,
    metric: str | None = None,
    all_rows: bool = False,
    fail_if_worse: float | None = None,
) -> int:
    """Print what changed from the first run to the second. Returns 3 where a figure is seen to be worse by more than
    `fail_if_worse`, else 0."""
    from ..core.analysis.two_runs import Tables, changes, worse
    from ..core.run.differences import differences
    from ..core.run.results import gather

    if letters[0] == letters[1]:
        stop(f"--runs {letters[0]} {letters[1]}: one run, twice")
    before, after = (gather(run_called(name, each, results)) for each in letters)
    _refuse_other_meanings(before, after)
    metric = None if metric is None else metric_called(metric, after.experiment)
    sides = [
        Tables(each.experiment, _of_metric(each.values, metric), each.status) for each in (before, after)
    ]
    figures = changes(*sides)
    if figures.empty:
        stop(_nothing_in_common(before, after, metric))
    if fail_if_worse is not None and set(figures["kind"]) == {"counted"} and metric is None:
        stop(
            f"--fail-if-worse: only counted figures; {_nothing_in_common(before, after, 'a clock or a training')}"
        )
    differing = differences(before, after)
    lost = figures.iloc[:0] if fail_if_worse is None else worse(figures, fail_if_worse)
    if format == "json":
        _print_json(letters, figures, differing, before, after, lost)
    elif format == "csv":
        write(csv_of(figures))
    elif format in ("markdown", "latex"):
        written = markdown if format == "markdown" else latex
        names = ["variant", "point", "metric", *letters, "change"]
        write(written("", names, [False] * 3 + [True] * 3, _rows(after, figures)))
    else:
        _print_screen(before, after, figures, differing, all_rows)
        if fail_if_worse is not None:
            _print_gate(after, figures, lost, fail_if_worse)
    return 3 if len(lost) else 0


def _refuse_other_meanings(before: Results, after: Results) -> None:
    a, b = before.experiment, after.experiment
    if a.version != b.version:
        stop(
            f"run {before.run.id} has version {a.version} of {b.name}, run {after.run.id} version {b.version}:"
            " their numbers do not mean the same"
        )
    for tier, members in b.tiers.items():
        was = a.tiers.get(tier, members)[0]
        if was != members[0]:
            where = f"of {tier} " if tier else ""
            stop(
                f"the baseline {where}is {was} in run {before.run.id} and {members[0]} in run {after.run.id}:"
                " their ratios do not mean the same"
            )


def _of_metric(values: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    return values if metric is None else values[values["metric"] == metric]


def _nothing_in_common(before: Results, after: Results, metric: str | None) -> str:
    what = f"of {metric} " if metric else ""
    return (
        f"runs {before.run.id} and {after.run.id} have no figure {what}to compare: no variant beside its baseline at a"
        " point that both have"
    )


def _print_screen(
    before: Results, after: Results, figures: pd.DataFrame, differing: Sequence[Any], all_rows: bool
) -> None:
    screen = out()
    a, b = before.run.id, after.run.id
    screen.print(f"[name]{after.experiment.name}[/] · run {a} → run {b}")
    for each in differing:
        screen.print(
            Padding(f"[quiet]{escape(f'{each.what}: {each.before} → {each.after}')}[/]", (0, 0, 0, 2))
        )
    screen.print()
    _print_verdicts(before, after)
    screen.print()
    shown = figures if all_rows else _headline(after, figures)
    changed = figures[figures["difference"].isin(["better", "worse", "higher", "lower"])]
    elsewhere = changed.loc[changed.index.difference(shown.index)]
    elsewhere = elsewhere.sort_values("worse_by", ascending=False, key=abs, kind="stable").head(FEW)
    for (where, what), rows in _grouped(after, shown).items():
        cells = [[escape(each) for each in (row[0], *row[3:])] for row in rows]
        screen.print(f"[quiet]{escape(f'{where}: {what}' if where else what)}[/]")
        screen.print(table(["", f">{a}", f">{b}", ">change"], cells, shorten=(0, 1, 2)))
        screen.print()
    if not elsewhere.empty:
        cells = [[escape(each) for each in (*row[:3], row[5])] for row in _rows(after, elsewhere)]
        screen.print(table(["what else changed", "point", "metric", ">change"], cells, shorten=(0, 1)))
        screen.print()
    if not all_rows:
        left = figures.loc[figures.index.difference(shown.index).difference(elsewhere.index)]
        if said := _left_out(left, after, before):
            screen.print(f"[quiet]{said}[/]", soft_wrap=True)
    if (figures["compared"] == "speed").any():
        screen.print(
            "[quiet]speed beside the baseline of the same run; never a time of one run beside a time of the other[/]"
        )


def _grouped(after: Results, figures: pd.DataFrame) -> dict[tuple[str, str], list[list[str]]]:
    """The rows of `_rows` by point and metric."""
    grouped: dict[tuple[str, str], list[list[str]]] = {}
    for row in _rows(after, figures):
        grouped.setdefault((row[1], row[2]), []).append(row)
    return grouped


def _headline(after: Results, figures: pd.DataFrame) -> pd.DataFrame:
    """The first metric that a clock or a training gave, at the headline's point: what the change is about."""
    from .headline import largest

    sampled = figures[figures["kind"] != "counted"]
    if sampled.empty:
        return sampled
    rows: pd.DataFrame = sampled[sampled["metric"] == sampled["metric"].iloc[0]]
    for key, value in largest(after.experiment).items():
        if (rows[key] == value).any():
            rows = rows[rows[key] == value]
    return rows


def _left_out(left: pd.DataFrame, after: Results, before: Results) -> str:
    counts = {"~": 0, "": 0} | left["difference"].value_counts().to_dict()
    same, few = counts["~"], counts[""]
    changed = len(left) - same - few
    parts = [
        f"{changed} more changed" if changed else "",
        f"{same} others without a difference" if same else "",
        f"{few} with fewer than six {after.experiment.noun}s" if few else "",
    ]
    said = ", ".join(part for part in parts if part)
    words = ["lab", "compare", after.experiment.name, "--runs", before.run.id, after.run.id, "--all"]
    command = shlex.join(words + results_words(after.run.folder.parent.parent))
    return f"{said}: {command}" if said else ""


def _print_verdicts(before: Results, after: Results) -> None:
    rows = [
        [
            escape(claim),
            escape(a.here or "-"),
            escape(b.here or "-"),
            f"{styled_word(a.word)} → {styled_word(b.word)}",
        ]
        for claim, a, b in _changed_verdicts(before, after)
    ]
    screen = out()
    if rows:
        screen.print(table(["claim", before.run.id, after.run.id, "verdict"], rows, shorten=(0, 1, 2)))
    else:
        screen.print("no verdict changed")


def _changed_verdicts(before: Results, after: Results) -> list[tuple[str, Any, Any]]:
    """(id, verdict before, verdict after) of the claims whose word changed."""
    earlier = {verdict.claim: verdict for verdict in before.verdicts}
    return [
        (each.claim, earlier[each.claim], each)
        for each in after.verdicts
        if each.claim in earlier and earlier[each.claim].word != each.word
    ]


def _rows(after: Results, figures: pd.DataFrame) -> list[list[str]]:
    from .tables import point_label

    keys = list(figures.columns[1 : list(figures.columns).index("metric")])
    rows = []
    for row in figures.to_dict("records"):
        point = point_label(after.experiment, {str(key): row[key] for key in keys})
        metric = row["metric"] if row["compared"] == "value" else f"{row['metric']}, {row['compared']}"
        rows.append([row["variant"], point, metric, _side(row, "before"), _side(row, "after"), _change(row)])
    return rows


def _side(row: dict[Any, Any], side: str) -> str:
    from ..core.analysis import digits

    kind = "value" if row["compared"] == "value" else "ratio"
    unit = row["unit"] if kind == "value" else ""
    ends = (row[f"{side}_low"], row[f"{side}_high"])
    return digits.format(row[side], *ends, unit, kind=kind, with_interval=kind == "ratio")


def _change(row: dict[Any, Any]) -> str:
    from ..core.analysis import digits

    if row["difference"] == "~":
        return "~"
    kind = "difference" if row["compared"] == "value" else "ratio"
    unit = row["unit"] if row["compared"] == "value" else ""
    text = digits.format(row["change"], row["change_low"], row["change_high"], unit, kind=kind)
    return f"{text} {row['difference']}".strip()


def _print_gate(after: Results, figures: pd.DataFrame, lost: pd.DataFrame, share: float) -> None:
    """The answer to --fail-if-worse, and how many figures could not answer."""
    judged = figures[figures["worse_by"].notna() & (figures["difference"] != "")]
    few = (figures["difference"] == "").sum()
    unjudged = f"; {few} have too few replicates to say" if few else ""
    if lost.empty:
        out().print(
            f"none of {len(judged)} figures is seen to be worse by more than {100 * share:.3g}%{unjudged}"
        )
        return
    out().print(
        f"[bad]{len(lost)} of {len(judged)} figures worse by more than {100 * share:.3g}%[/]{unjudged}"
    )


def _print_json(
    letters: tuple[str, str],
    figures: pd.DataFrame,
    differing: Sequence[Any],
    before: Results,
    after: Results,
    lost: pd.DataFrame,
) -> None:
    from dataclasses import asdict

    from .run_results import records

    print_json(
        {
            "runs": list(letters),
            "differences": [asdict(each) for each in differing],
            "comparison": records(figures),
            "claims": [
                {"claim": claim, "before": a.word, "after": b.word}
                for claim, a, b in _changed_verdicts(before, after)
            ],
            "worse": records(lost),
        }
    )
