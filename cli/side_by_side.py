"""`lab compare NAME --runs A B`: two runs side by side, never merged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from ..core.safe_text import csv_of
from .runs_to_show import run_called
from .screen import out, print_json, stop, table, write
from .text_tables import latex, markdown

if TYPE_CHECKING:
    import pandas as pd


def print_side_by_side(
    name: str, letters: tuple[str, str], results: Path, format: str, metric: str | None
) -> None:
    """Two runs side by side. Their samples are never merged, and their times come from two sessions."""
    from ..core.run.results import gather
    from .claim_lines import paper
    from .run_results import records
    from .tables import point_label

    a, b = (gather(run_called(name, one, results)) for one in letters)
    if a.experiment.version != b.experiment.version:
        stop(
            f"run {a.run.id} has version {a.experiment.version} of {name}, run {b.run.id} version {b.experiment.version}:"
            " their numbers do not mean the same"
        )
    keys = [key for key in a.experiment.point_keys if key in b.experiment.point_keys]
    joined = a.comparison.merge(b.comparison, on=["variant", *keys, "metric"], suffixes=("_a", "_b"))
    joined = joined[joined["estimate_a"].notna() & joined["estimate_b"].notna()]
    if metric is not None:
        joined = joined[joined["metric"] == metric]
    if format == "json":
        print_json({"runs": list(letters), "comparison": records(joined)})
        return
    if format == "csv":
        write(csv_of(joined))
        return
    from ..core.analysis import digits

    screen = out()
    rows = []
    for row in (joined if metric else _worth_a_line(joined)).to_dict("records"):
        unit = row["unit_a"]
        cells = [
            digits.format(
                row[f"estimate_{s}"],
                _none(row[f"low_{s}"]),
                _none(row[f"high_{s}"]),
                unit,
                with_interval=False,
            )
            for s in "ab"
        ]
        change = f"{row['estimate_b'] / row['estimate_a']:.2f}x" if row["estimate_a"] else ""
        words = point_label(a.experiment, {key: row[key] for key in keys})
        rows.append([row["variant"], words, row["metric"], *cells, change])
    if format in ("markdown", "latex"):
        names = ["variant", "point", "metric", a.run.id, b.run.id, f"{b.run.id} / {a.run.id}"]
        written = markdown if format == "markdown" else latex
        write(written("", names, [False] * 3 + [True] * 3, rows))
        return
    header = ["variant", "point", "metric", f">{a.run.id}", f">{b.run.id}", f">{b.run.id} / {a.run.id}"]
    screen.print(table(header, [list(map(escape, row)) for row in rows]))
    screen.print()
    pairs = {verdict.claim: verdict for verdict in b.verdicts}
    claims = [
        [v.letter, escape(v.says), escape(paper(v, a.experiment)), v.word, pairs[v.claim].word]
        for v in a.verdicts
        if v.claim in pairs
    ]
    screen.print(table(["", "claim", "paper", a.run.id, b.run.id], claims, shorten=1))
    screen.print(
        "[quiet]times of two sessions: what differs may be the machine. To compare two kernels, run them together: --add[/]",
    )


def _worth_a_line(joined: pd.DataFrame) -> pd.DataFrame:
    """What a clock or a training said; of what was counted only what came out differently."""
    from ..core.experiment.schema import RATES

    is_counted = joined["kind_a"] == "counted"
    differs = (joined["estimate_a"] - joined["estimate_b"]).abs() > 1e-9 * joined["estimate_a"].abs()
    return joined[(~is_counted & ~joined["metric"].isin(RATES)) | (is_counted & differs)]


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
