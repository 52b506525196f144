"""The interval of a figure, by the kind of its metric.

A counted number has none. Timed figures are positive with proportional noise, so their intervals are over logarithms.
Those of trained figures are over the plain numbers, or over prompts for a proportion on which all seeds agree, since
the seeds then show no spread. `Readings.with_prompts` puts the number of prompts in the place of the metric that
counts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..experiment.schema import Metric
from .statistics import (
    LEVEL,
    Interval,
    difference_interval,
    log_mean_interval,
    mean_interval,
    proportion_interval,
    ratio_interval,
)
from .tables import Replicates


def counted(value: float) -> Interval:
    """A number without an interval."""
    return Interval(value, None, None, 1)


def value_of(figure: Replicates, metric: Metric, level: float = LEVEL) -> Interval:
    """One variant's figure: the number if counted, the median of timed replicates, the mean of trained ones.

    Raises ValueError: a replicate is not finite, or a metric with `out_of` is no proportion.
    """
    x = list(figure.values())
    if metric.kind == "counted":
        return counted(_finite(_only(figure)))
    if metric.kind == "timed" and min(x) > 0:
        # The median is robust to one disturbed process. The interval is that of the geometric mean, widened where it
        # does not contain the median.
        found, median = log_mean_interval(x, level), float(np.median(x))
        if found.low is None or found.high is None:
            return replace(found, estimate=median)
        return replace(found, estimate=median, low=min(found.low, median), high=max(found.high, median))
    found = mean_interval(x, level)
    if found.agree and (prompts := _prompts(metric)):
        return _over_prompts(found.estimate, prompts, level)
    return found


def ratio_of(a: Replicates, b: Replicates, metric: Metric, level: float = LEVEL) -> Interval:
    """a / b, paired by replicate.

    Raises ValueError: no replicate in common, one is not finite, or one is zero or negative (a counted zero
    may be divided).
    """
    x, y = paired(a, b)
    if metric.kind == "counted":
        first, second = _finite(_only(a)), _finite(_only(b))
        if second <= 0 or first < 0:
            raise ValueError(f"no ratio of {first:g} to {second:g}")
        return counted(first / second)
    found = ratio_interval(x, y, level)
    if found.agree and (prompts := _prompts(metric)):
        return _combined(found, x, y, prompts, math.log, math.exp)
    return found


def difference_of(a: Replicates, b: Replicates, metric: Metric, level: float = LEVEL) -> Interval:
    """a − b, paired by replicate. Raises ValueError: no replicate in common, or one is not finite."""
    x, y = paired(a, b)
    if metric.kind == "counted":
        return counted(_finite(_only(a)) - _finite(_only(b)))
    found = difference_interval(x, y, level)
    if found.agree and (prompts := _prompts(metric)):
        return _combined(found, x, y, prompts, float, float)
    return found


def paired(a: Replicates, b: Replicates) -> tuple[list[float], list[float]]:
    """The replicates that both have, in the same order. Raises ValueError: they share none."""
    common = sorted(a.keys() & b.keys())
    if not common:
        raise ValueError("no replicate in common")
    return [a[replicate] for replicate in common], [b[replicate] for replicate in common]


def _only(figure: Replicates) -> float:
    return figure[min(figure)]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"the figure is {value}, not a finite number")
    return value


def _prompts(metric: Metric) -> int | None:
    assert not isinstance(metric.out_of, str), "with_prompts says how many there are"
    return metric.out_of


def _over_prompts(proportion: float, prompts: int, level: float = LEVEL) -> Interval:
    """The interval over the prompts of one seed, whatever the number of seeds.

    The prompts of several seeds are not independent trials: they come from one pool, which may hold few more than one
    seed's draw (there are 37 problems of parity at depths 4 to 6), and models of one recipe err on the same ones. Adding
    them up would count a problem once for each seed and make the interval up to √seeds too narrow. Where the draws
    differ, the interval is too wide, which is the safer error.
    """
    return replace(proportion_interval(round(proportion * prompts), prompts, level), estimate=proportion)


def _combined(
    found: Interval,
    x: list[float],
    y: list[float],
    prompts: int,
    working: Callable[[float], float],
    back: Callable[[float], float],
) -> Interval:
    """The interval of a difference (on the `working` scale) of two proportions, from the interval of each.

    The distances of the two relevant ends from their estimates add up in squares (Newcombe 1998, method 10, with
    exact limits in place of Wilson's).
    """
    a, b = (_over_prompts(float(np.mean(z)), prompts, found.level) for z in (x, y))
    assert a.low is not None and a.high is not None and b.low is not None and b.high is not None
    p, q = working(a.estimate), working(b.estimate)
    down = math.hypot(p - working(a.low), working(b.high) - q)
    up = math.hypot(working(a.high) - p, q - working(b.low))
    return Interval(
        found.estimate, back(p - q - down), back(p - q + up), prompts, found.level, None, "prompts"
    )
