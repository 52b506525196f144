"""Curves of trainings: means over seeds, along the steps or along a metric that is recorded at each step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..analysis.statistics import FEWEST, mean_interval
from ..experiment.schema import Experiment, Plot
from .series import Picture, is_finite, rows_of, series_of
from .ticks import ROUNDING
from .words import human

if TYPE_CHECKING:
    import pandas as pd

MOST_STEPS = 1000  # of a curve: more than a figure has pixels


def bands(plot: Plot, experiment: Experiment, curves: pd.DataFrame) -> Picture:
    """The mean over seeds at every step, with its interval; over a metric, at the mean of that metric.

    Seeds that were recorded at different steps, as where equal tokens take unequal numbers of steps, have no step in
    common at which both means could be taken: see `_at_common_places`.
    """
    rows, fixed = rows_of(plot, experiment, curves)
    rows = rows[is_finite(rows["value"]) & is_finite(rows[plot.x])] if plot.x in rows else rows.iloc[:0]
    keys = list(dict.fromkeys([plot.hue, "variant"]))
    reduced: list[dict[str, Any]] = []
    left_out, most, seeds = {}, 0, []
    for key, arm in rows.groupby(keys, sort=False, dropna=False):
        per_step = arm.groupby("step")["replicate"].nunique()
        seeds.append(arm["replicate"].nunique())
        paid = _paid(arm, plot.x)
        known = dict(zip(keys, key, strict=True)) | {"paid": paid}
        if plot.x != "step" and (per_step < seeds[-1]).any():
            if paid:
                # Seeds have paid unequally: each is counted from there, so that all of them begin together.
                begins = arm.groupby("replicate")[plot.x].transform("min")
                arm = arm.assign(**{plot.x: arm[plot.x] - begins + paid})
            try:
                arm = _at_common_places(arm, plot.x)
            except ValueError as why:
                left_out[str(known["variant"])] = str(why)
                continue
        most = max(most, arm["step"].nunique())
        for step, at in arm[arm["step"].isin(_some(arm["step"]))].groupby("step"):
            found = mean_interval(list(at["value"]))
            ends = (found.low, found.high) if len(at) >= FEWEST else (None, None)
            low, high = (math.nan if end is None else end for end in ends)
            x = step if plot.x == "step" else at[plot.x].mean()
            reduced.append(
                known | {"step": step, plot.x: x, "y": found.estimate, "y_low": low, "y_high": high}
            )
    replicates = (min(seeds), max(seeds)) if seeds else (0, 0)
    drawn = series_of(plot, experiment, type(rows)(reduced), plot.x, "step") if reduced else []
    return Picture(drawn, replicates, fixed, left_out, most)


def _at_common_places(arm: pd.DataFrame, x: str) -> pd.DataFrame:
    """The curve of each seed at the same places of x, straight between the points that the seed has.

    The places are those of all seeds, since the mean of lines bends nowhere else, from where the last seed begins to where
    the first one ends: beyond, a seed would have to be continued.

    Raises ValueError: x is no order of a seed's points, or the seeds have no range in common.
    """
    import numpy as np

    seeds = [seed.sort_values("step") for _, seed in arm.groupby("replicate")]
    if any((np.diff(seed[x]) < 0).any() for seed in seeds):
        raise ValueError(f"steps differ among its seeds, and {human(x)} falls from one step to the next")
    ends = max(seed[x].min() for seed in seeds), min(seed[x].max() for seed in seeds)
    places = np.unique(arm[x])
    places = places[(places >= ends[0]) & (places <= ends[1])]
    if not len(places):
        raise ValueError(f"its seeds have no {human(x)} in common")
    frame = type(arm)
    return frame(
        {"step": number, "replicate": index, x: place, "value": value}
        for index, seed in enumerate(one.drop_duplicates(x, keep="last") for one in seeds)
        for number, (place, value) in enumerate(
            zip(places, np.interp(places, seed[x], seed["value"]), strict=True)
        )
    )


def _paid(arm: pd.DataFrame, x: str) -> float:
    """What x, if it only ever grows, has at step 0 already: such as the operations that a teacher was trained with."""
    seeds = [seed.sort_values("step") for _, seed in arm.groupby("replicate")]
    if x == "step" or any(seed["step"].iloc[0] != 0 or (seed[x].diff() < 0).any() for seed in seeds):
        return 0.0
    paid = sum(float(seed[x].iloc[0]) for seed in seeds) / len(seeds)
    return paid if paid > ROUNDING * arm[x].max() else 0.0


def _some(steps: pd.Series[Any]) -> list[Any]:
    """Evenly among all steps so many as can be told apart, the first and the last among them."""
    there = sorted(steps.unique())
    if len(there) <= MOST_STEPS:
        return there
    return [there[round(i * (len(there) - 1) / (MOST_STEPS - 1))] for i in range(MOST_STEPS)]
