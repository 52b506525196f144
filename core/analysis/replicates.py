"""The figures that a verdict was made of, replicate by replicate: what `lab explain` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..experiment.schema import Measure

SHOWN = 5  # points of a long curve


@dataclass(frozen=True)
class Replicates:
    """A row for each replicate: one figure for each column, NaN where it has none, and what they come to (`result`: what it is
    called; empty where the figures stand for themselves)."""

    columns: tuple[str, ...]
    rows: Mapping[int, tuple[float, ...]]
    result: str = ""
    results: Mapping[int, float] | None = None


def replicates(
    measure: Measure, values: pd.DataFrame, curves: pd.DataFrame, point: Mapping[str, Any]
) -> Replicates | None:
    """Those of a measure at the point that its verdict names; None where there are none."""
    over_steps = measure.axis == "step"
    table = curves if over_steps else values
    table = table[(table["metric"] == measure.metric) & table["variant"].isin(measure.variants)]
    for key, value in point.items():
        table = table[table[key] == value]
    if table.empty:
        return None
    wide = table.pivot_table(
        index="replicate", columns=measure.axis or "variant", values="value", aggfunc="last"
    )
    names = (
        list(wide.columns) if measure.axis else [name for name in measure.variants if name in wide.columns]
    )
    if over_steps and len(names) > SHOWN:
        names = [names[round(at * (len(names) - 1) / (SHOWN - 1))] for at in range(SHOWN)]
    wide = wide[names]
    heads = tuple(f"{measure.axis} {name:,}" if measure.axis else str(name) for name in names)
    rows = {int(at): tuple(map(float, row)) for at, row in zip(wide.index, wide.to_numpy(), strict=True)}
    if measure.kind not in ("ratio", "difference") or len(names) < 2:
        return Replicates(heads, rows)
    sign = {"ratio": "/", "difference": "−"}[measure.kind]
    ends = {
        at: (a / b if b else float("nan")) if measure.kind == "ratio" else a - b
        for at, (a, b) in rows.items()
    }
    return Replicates(heads, rows, f" {sign} ".join(names), ends)
