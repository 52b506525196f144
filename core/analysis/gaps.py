"""Metrics computed from three variants: how far one is on the way from the second to the third, in percent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..experiment.schema import Experiment, Gap


def with_gaps(experiment: Experiment, values: pd.DataFrame) -> pd.DataFrame:
    """The table of values with a row for every gap that can be taken: 100 · (zero − x) / (zero − whole).

    It is computed within a seed, so that the seed's effect on all three cancels. A point has no gap if in any seed `whole`
    is not better than `zero`: the remaining seeds would be a biased choice.

    Args:
        values: `variant`, the point keys, `metric`, `replicate`, `value`.
    """
    rows = [
        row
        for name, metric in experiment.metrics.items()
        if metric.gap is not None
        for row in _rows(experiment, name, metric.gap, values)
    ]
    return (
        pd.concat([values, pd.DataFrame(rows, columns=values.columns)], ignore_index=True) if rows else values
    )


def worse_than(experiment: Experiment, gap: Gap) -> str:
    """`worse than no teacher`: what a gap below nothing reads, since how far below is no share of anything."""
    zero = experiment.variants.get(gap.zero)
    return f"worse than {zero.group if zero and zero.group else gap.zero}"


def _rows(experiment: Experiment, name: str, gap: Gap, values: pd.DataFrame) -> Iterator[dict[str, Any]]:
    keys = experiment.point_keys
    better = experiment.metrics[gap.of].better
    of = values[values["metric"] == gap.of]
    for _, here in of.groupby(keys, sort=False, dropna=False) if keys else [((), of)]:
        by_seed = here.pivot(index="replicate", columns="variant", values="value")
        if not {gap.zero, gap.whole} <= set(by_seed.columns):
            continue
        way = by_seed[gap.zero] - by_seed[gap.whole]
        if not ((-way if better == "higher" else way).dropna() > 0).all():
            continue
        shares = by_seed.rsub(by_seed[gap.zero], axis=0).div(way, axis=0) * 100
        for found in here.to_dict("records"):
            row = {str(key): value for key, value in found.items()}
            share = shares.loc[row["replicate"], row["variant"]]
            if not pd.isna(share):  # a seed that lacks one of the three has none
                yield {
                    **{str(key): value for key, value in row.items()},
                    "metric": name,
                    "value": float(share),
                }
