"""Verdicts, and what follows from a list of them: the table of claims, counts, chances. `judge.py` makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ..experiment.schema import Scalar, point_words
from .looks import FIRST_ERROR
from .settle import Settling
from .statistics import LEVEL, Interval, Region, chance_with

LETTERS = {"counted": "C", "timed": "T", "trained": "R"}
WORDS = (
    "holds", "fails here", "unclear", "preview", "not trained enough", "not tested",
    "faster*", "slower*", "higher*", "lower*", "same*", "unclear*",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """One claim judged by one run.

    Attributes:
        claim, says, source, paper, note, threshold: as in the experiment file (`claim` is its id).
        letter: C counted, T timed, R trained here.
        measure, metric, variants: what was measured: "ratio", "time", ("safe", "online").
        point: the point it was measured at.
        unit: of `interval`: the metric's for values, differences and orders; "x" for ratios; else "".
        expected: the accepted region in words, and `region` in numbers (infinite where open).
        interval: what was seen, at the level of the look; None where not tested, and for an order of more than two
            variants.
        here: the figure as it prints, "0.6x [0.6, 0.7]"; "" where not tested.
        word: one of WORDS.
        detail: the rest of the sentence: why not tested, what a preview leans to, what would settle it.
        differences: what differs between the source's setting and this run.
        replicates: seeds or repeats (pairs) that were judged; 0 where not tested, 1 for counted.
        settling: how many of them would settle an unclear claim or turn a preview into a verdict, or why none would;
            None where it is settled.
        needs: what its variants must reach first, in words; "" where nothing is needed.
        holds_for: what a sampled verdict is limited to, "these two teachers", where the file says so.
    """

    claim: str
    says: str
    source: str
    paper: float | str | None
    threshold: str
    note: str
    letter: str
    measure: str
    metric: str
    variants: tuple[str, ...]
    unit: str
    expected: str
    region: Region
    word: str
    detail: str = ""
    here: str = ""
    interval: Interval | None = None
    point: tuple[tuple[str, Scalar], ...] = ()
    differences: tuple[str, ...] = ()
    replicates: int = 0
    settling: Settling | None = None
    holds_for: str = ""
    needs: str = ""

    @property
    def estimate(self) -> float | None:
        return None if self.interval is None else self.interval.estimate

    @property
    def more(self) -> int | None:
        """How many more replicates would settle it; None: no number of them, or it is settled."""
        return None if self.settling is None else self.settling.more

    @property
    def settled(self) -> bool:
        return self.word in ("holds", "fails here")


def claims_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """The verdicts as claims.csv holds them: one row each, lists joined by "; ", NaN: there is no number."""
    columns = [
        "claim", "says", "source", "paper", "threshold", "letter", "measure", "metric", "variants", "place",
        "expected", "needs", "estimate", "low", "high", "level", "unit", "replicates", "here", "word", "detail",
        "more", "holds_for", "differences", "note",
    ]  # fmt: skip
    rows = []
    for verdict in verdicts:
        found = verdict.interval
        row = {name: getattr(verdict, name) for name in columns if hasattr(verdict, name)}
        row |= {
            name: getattr(found, name) if found else None for name in ("estimate", "low", "high", "level")
        }
        row["variants"] = "; ".join(verdict.variants)
        row["place"] = point_words(dict(verdict.point))
        row["differences"] = "; ".join(verdict.differences)
        rows.append(row)
    table = pd.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys(("estimate", "low", "high", "level"), float)).astype({"more": "Int64"})


def tally(verdicts: Iterable[Verdict]) -> str:
    """All verdicts in one line: `4 hold, 2 other device, 1 unclear`."""
    plural = {"holds": "hold", "fails here": "fail here", "preview": "preview"}
    counts = Counter("other device" if verdict.word.endswith("*") else verdict.word for verdict in verdicts)
    order = ("holds", "fails here", "other device", "unclear", "preview", "not trained enough", "not tested")
    shown = ((counts[word], word if counts[word] == 1 else plural.get(word, word)) for word in order)
    return ", ".join(f"{count} {word}" for count, word in shown if count)


def by_chance(verdicts: Iterable[Verdict]) -> str:
    """`at most 1.2 of 23 sampled false by chance`: what to expect where each may err in 5 of 100 runs.

    Counted numbers do not vary, so they are not among them; empty where nothing sampled was judged.
    """
    without = ("preview", "not trained enough", "not tested")
    judged = sum(1 for v in verdicts if v.letter != "C" and v.word not in without)
    return f"at most {judged * (1 - LEVEL):.2g} of {judged} sampled false by chance" if judged else ""


def chances(verdicts: Iterable[Verdict], replicates: int) -> dict[str, float | None]:
    """How likely each sampled claim is to be settled at the first look of a run of so many replicates, from the
    spread that this run saw.

    Claims of counted numbers, of orders with several steps, untested ones and those whose variants are not trained enough are
    left out; None where the spread is unknown.
    """
    return {
        verdict.claim: chance_with(verdict.interval, replicates, verdict.region, 1 - FIRST_ERROR)
        for verdict in verdicts
        if verdict.letter != "C" and verdict.interval is not None and verdict.word != "not trained enough"
    }
