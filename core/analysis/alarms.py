"""Notes about figures that show an experiment to be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..experiment.schema import Experiment


def alarms(experiment: Experiment, values: pd.DataFrame) -> Iterator[str]:
    """A note for each metric whose mean falls below its alarm: in how many variants, and where it is lowest.

    Args:
        values: `variant`, `metric`, `value`, …, as trials measured them.
    """
    for name, metric in experiment.metrics.items():
        if metric.alarm is None:
            continue
        means = values[values["metric"] == name].groupby("variant", sort=False)["value"].mean()
        low = means[means < metric.alarm.below]
        if not low.empty:
            worst = f"{metric.label or name} {low.min():.3g} {metric.unit}".rstrip()
            yield f"{metric.alarm.says} ({worst} in {low.idxmin()}; so in {len(low)} of {len(means)} variants)"
