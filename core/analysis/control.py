"""The A/A control: the first variant of each tier is timed twice, and should equal itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..experiment.schema import AGAIN, RATES, Experiment, point_words
from .estimates import paired
from .statistics import ratio_interval
from .tables import PointValues, Replicates, in_order, read

# A control is off when its interval excludes 1 and it is further than this away. Either alone would cry
# wolf: one in twenty 95% intervals excludes 1 by chance, and with quiet replicates a harmless 0.5% is
# "significant". Claims keep margins of 5% and more, so a variant that differs from itself by over 3% could
# make one true by itself.
MARGIN = 0.03


def control(experiment: Experiment, values: pd.DataFrame) -> pd.DataFrame:
    """The second figures of the variant that was timed twice divided by its first, in every tier at every point: 1 but
    for noise.

    Columns: the point keys, tier, variant, metric, ratio, low, high, n, off (the machine was not steady enough to
    trust small ratios in this tier at this point), reason (why, in words; "" when fine). Rates follow from times and
    are left out.
    """
    readings = read(experiment, values)
    rows: list[dict[str, Any]] = []
    for point in in_order(experiment, readings):
        for name, metric in experiment.metrics.items():
            if metric.kind != "timed" or name in RATES:
                continue
            for tier, members in experiment.tiers.items():
                for variant in members:
                    first = readings.figures.get((variant, point, name))
                    second = readings.figures.get((variant + AGAIN, point, name))
                    if first is not None and second is not None:
                        at = dict(zip(readings.keys, point, strict=True)) | {"tier": tier, "variant": variant}
                        rows.append(at | _control(name, variant, first, second))
    columns = [*readings.keys, "tier", "variant", "metric", "ratio", "low", "high", "n", "off", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"n": int, "off": bool})


def _control(name: str, variant: str, first: Replicates, second: Replicates) -> dict[str, Any]:
    try:
        found = ratio_interval(*paired(second, first))
    except ValueError as error:
        nothing = {"ratio": math.nan, "low": math.nan, "high": math.nan, "n": 0}
        return {"metric": name, **nothing, "off": True, "reason": str(error)}
    off = found.excludes(1) and abs(found.estimate - 1) > MARGIN
    percent = f"{abs(found.estimate - 1):.0%} {'above' if found.estimate > 1 else 'below'}"
    low, high = (math.nan if end is None else end for end in (found.low, found.high))
    return {
        "metric": name, "ratio": found.estimate, "low": low, "high": high, "n": found.n, "off": off,
        "reason": f"{name} of {variant} came out {percent} itself" if off else "",
    }  # fmt: skip


def off_in(table: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, PointValues], str]:
    """By tier and point, why the control there is off."""
    rows = table[table["off"]].to_dict("records")
    return {(row["tier"], tuple(row[key] for key in keys)): row["reason"] for row in rows}


def off_words(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The same in words: `columns=1000: time of safe came out 8% above itself`."""
    found = off_in(table, keys)
    return [
        ": ".join(part for part in (point_words(dict(zip(keys, point, strict=True))), reason) if part)
        for (_, point), reason in found.items()
    ]
