"""Confidence intervals from a handful of replicates, and how many more replicates would narrow them enough.

A replicate is one process (timing) or one seed (training), already reduced to one number. Two variants are
paired by replicate, because what disturbs one (a warm machine, an easy seed) disturbs the other too.
Intervals are Student's t (Student 1908): over the logarithms where a figure is positive and its noise is
proportional (times, ratios), over the plain numbers elsewhere. tests/core/analysis/test_coverage.py simulates
their coverage.

**Replicates that all agree** have a spread of 0, from which Student's t would make an interval of no width. Fewer
than six of them get no interval. Six or more get that one value: if the median were another, n replicates would
all fall on one side of it with probability at most 2·2⁻ⁿ, below 5% from n = 6 (the sign test). For proportions
`proportion_interval` uses the number of prompts instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # scipy.stats would cost another half second at import

Region = tuple[float, float]  # lowest and highest accepted value; either may be infinite
Floats = NDArray[np.float64]

LEVEL = 0.95
# Below this no exact paired test can reach 5%: the best p-value of n pairs is 2·2⁻ⁿ, 6% for five, 3% for six.
FEWEST = 6


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, in the unit of the numbers it came from.

    Attributes:
        estimate: the mean, the geometric mean, the slope, … of the replicates.
        low, high: ends of the interval. None for a counted number, for a single replicate, and for fewer
            than six replicates that all agree, whose true spread is unknown.
        n: replicates (pairs, where two variants were compared); for `scale` "prompts" the number of prompts.
        level: the confidence level, 0.95 for 95%.
        spread: standard deviation over the replicates on the working scale; 0 when all agree; None when
            unknown.
        scale: where the arithmetic was done: "plain", "log", or "prompts" (a proportion).
    """

    estimate: float
    low: float | None
    high: float | None
    n: int
    level: float = LEVEL
    spread: float | None = None
    scale: Literal["plain", "log", "prompts"] = "plain"

    def minus(self, known: float) -> Interval:
        """That of the same figure minus a number without noise."""
        low, high = (None if end is None else end - known for end in (self.low, self.high))
        return replace(self, estimate=self.estimate - known, low=low, high=high)

    @property
    def agree(self) -> bool:
        """Whether all replicates (at least two) gave the same number."""
        return self.spread == 0

    @property
    def printed(self) -> tuple[float | None, float | None]:
        """The ends to print; none below six replicates, where Student's t gives intervals too wide to read, such as
        [0.01, 280] around 1.2."""
        return (None, None) if self.n < FEWEST else (self.low, self.high)

    def excludes(self, value: float) -> bool:
        """Whether the interval lies wholly on one side of `value`; False where there is no interval."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


@lru_cache
def t_quantile(n: int, level: float) -> float:
    """Half the width of an interval of `n` replicates, in standard errors."""
    return float(special.stdtrit(n - 1, 0.5 + level / 2))


def _numbers(x: ArrayLike) -> Floats:
    numbers = np.asarray(x, dtype=np.float64)
    if numbers.size == 0:
        raise ValueError("no replicates")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{numbers[~np.isfinite(numbers)].flat[0]} among the replicates")
    return numbers


def _positive(x: ArrayLike) -> Floats:
    numbers = _numbers(x)
    if (numbers <= 0).any():
        raise ValueError(f"{numbers[numbers <= 0].flat[0]:g} among numbers that must be above zero")
    return numbers


def _pair(a: ArrayLike, b: ArrayLike) -> None:
    if np.shape(a) != np.shape(b):
        raise ValueError(f"{np.size(a)} and {np.size(b)} replicates cannot be paired")


def _student(x: Floats, grain: float, level: float) -> Interval:
    """Student's t over the replicates `x`; differences up to `grain` are rounding, not spread."""
    n, mean = x.size, float(x.mean())
    if n == 1:
        return Interval(mean, None, None, n, level)
    if float(np.ptp(x)) <= grain:
        sure = mean if n >= FEWEST else None
        return Interval(mean, sure, sure, n, level, spread=0.0)
    spread = math.sqrt(float(((x - mean) ** 2).sum()) / (n - 1))
    half = t_quantile(n, level) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, level, spread)


_ROUNDING = 1e-12  # relative: a few thousand times what float64 can tell apart


def _student_of_logs(logs: Floats, level: float) -> Interval:
    found = _student(logs, _ROUNDING, level)
    low = None if found.low is None else _exp(found.low)
    high = None if found.high is None else _exp(found.high)
    return Interval(_exp(found.estimate), low, high, found.n, level, found.spread, "log")


def _exp(x: float) -> float:
    """e^x, or ∞ where it overflows float64: two replicates far apart at a high level."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def mean_interval(x: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean of the replicates `x`, with Student's t. Raises ValueError: there are none, or one is not finite."""
    numbers = _numbers(x)
    return _student(numbers, _ROUNDING * float(np.abs(numbers).max()), level)


def log_mean_interval(x: ArrayLike, level: float = LEVEL) -> Interval:
    """The geometric mean of positive replicates, with Student's t over their logarithms.

    Raises ValueError: there are none, or one is not finite or not above zero.
    """
    return _student_of_logs(np.log(_positive(x)), level)


def ratio_interval(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Interval:
    """The ratio a/b: its geometric mean over pairs, with Student's t over log a − log b.

    Raises ValueError: they do not pair, or one number is not finite or not above zero (it is named).
    """
    _pair(a, b)
    return _student_of_logs(np.log(_positive(a)) - np.log(_positive(b)), level)


def difference_interval(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean of a − b over pairs, with Student's t.

    Raises ValueError: they do not pair, or one number is not finite.
    """
    _pair(a, b)
    first, second = _numbers(a), _numbers(b)
    size = max(float(np.abs(first).max()), float(np.abs(second).max()))
    return _student(first - second, _ROUNDING * size, level)


def unpaired_interval(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean of b − mean of a, of replicates that do not pair: Welch's t, which lets the two spreads differ (Welch 1947).

    Raises:
        ValueError: one has no replicates, or one is not finite.
    """
    first, second = _numbers(a), _numbers(b)
    change = float(second.mean() - first.mean())
    n = min(first.size, second.size)
    if n == 1:
        return Interval(change, None, None, n, level)
    errors = [float(x.var(ddof=1)) / x.size for x in (first, second)]
    grain = _ROUNDING * max(float(np.abs(first).max()), float(np.abs(second).max()))
    if max(np.ptp(first), np.ptp(second)) <= grain:
        sure = change if n >= FEWEST else None
        return Interval(change, sure, sure, n, level, spread=0.0)
    error = math.sqrt(sum(errors))
    degrees = sum(errors) ** 2 / sum(
        e * e / (x.size - 1) for e, x in zip(errors, (first, second), strict=True)
    )
    half = float(special.stdtrit(degrees, 0.5 + level / 2)) * error
    return Interval(change, change - half, change + half, n, level, error * math.sqrt(n))


def exponent_interval(axis_values: ArrayLike, table: ArrayLike, level: float = LEVEL) -> Interval:
    """The power with which a figure grows along an axis: least-squares slope of log figure on log axis.

    Each replicate gives one slope, and Student's t is over the slopes: the points of one process share its noise and
    are not independent.

    Args:
        axis_values: (points,), above zero, at least two different ones.
        table: (replicates, points), above zero.
    Raises ValueError: fewer than two different axis values, or a number that is not finite or not above zero.
    """
    x, y = np.log(_positive(axis_values)), np.log(np.atleast_2d(_positive(table)))
    x = x - x.mean()
    if not x.any():
        raise ValueError("an exponent needs at least two different values of the axis")
    return _student(y @ x / (x @ x), _ROUNDING, level)


def trend_interval(axis_values: ArrayLike, table: ArrayLike, level: float = LEVEL) -> Interval:
    """Spearman's rank correlation of a figure with an axis or with steps, per replicate, then Student's t.

    A constant figure has trend 0. The ends are clipped to [-1, 1].

    Args:
        axis_values: (points,), at least three.
        table: (replicates, points); NaN where a replicate has no figure at a point.
    Raises ValueError: a replicate has fewer than three points.
    """
    x, y = np.asarray(axis_values, dtype=np.float64), np.atleast_2d(np.asarray(table, dtype=np.float64))
    found = _student(np.array([_rank_correlation(x, row) for row in y]), _ROUNDING, level)
    if found.low is None or found.high is None:
        return found
    return Interval(found.estimate, max(found.low, -1.0), min(found.high, 1.0), found.n, level, found.spread)


def _rank_correlation(x: Floats, y: Floats) -> float:
    known = ~np.isnan(y)
    if known.sum() < 3:
        raise ValueError(f"a trend needs at least three points, here {known.sum()}")
    a, b = _ranks(x[known]), _ranks(y[known])
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / size if size else 0.0


def _ranks(x: Floats) -> Floats:
    """1 for the smallest; equal numbers share the mean of their ranks."""
    _, rank, count = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - (count - 1) / 2)[rank]
    return ranks


def proportion_interval(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """The exact interval of a proportion (Clopper & Pearson 1934); its coverage is at least `level`.

    Used over prompts where all seeds agree, so that 64 right out of 64 reads [0.94, 1.00] and not [1, 1].

    Raises ValueError: not 0 ≤ successes ≤ trials, or no trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion")
    tail = (1 - level) / 2
    low = special.betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return Interval(successes / trials, float(low), float(high), trials, level, None, "prompts")


def _working(interval: Interval, region: Region) -> tuple[float, Region]:
    """Estimate and region on the working scale, that of the spread."""
    if interval.scale != "log":
        return interval.estimate, region
    low, high = (math.log(bound) if bound > 0 else -math.inf for bound in region)
    return math.log(interval.estimate), (low, high)


def would_clear(interval: Interval, region: Region, n: int, level: float) -> bool:
    """Whether an interval of `n` replicates with this estimate and spread excludes the nearest bound of `region`.

    Raises ValueError: the spread is unknown.
    """
    if interval.spread is None:
        raise ValueError("the spread is unknown")
    estimate, bounds = _working(interval, region)
    distance = min((abs(estimate - bound) for bound in bounds if math.isfinite(bound)), default=math.inf)
    if distance == 0:
        return False
    if interval.spread == 0:
        return n >= FEWEST
    return t_quantile(n, level) * interval.spread / math.sqrt(n) <= distance


def chance_to_settle(estimate: float, spread: float, n: int, region: Region, level: float = LEVEL) -> float:
    """The probability that an interval of `n` replicates falls wholly inside or wholly outside `region`.

    For planning: it assumes that the truth is `estimate` and the noise normal with standard deviation `spread`, both on
    the working scale (for a ratio pass logarithms, or use `chance_with`). Below six replicates it is 0.
    """
    if n < FEWEST:
        return 0.0
    if spread == 0:
        return 1.0
    error = spread / math.sqrt(n)
    # The half-width depends on the sample's variance: average over 2000 equally likely values of it.
    tails = (np.arange(2000) + 0.5) / 2000
    half = t_quantile(n, level) * error * np.sqrt(special.chdtri(n - 1, tails) / (n - 1))
    low, high = (bound - estimate for bound in region)
    inside = special.ndtr((high - half) / error) - special.ndtr((low + half) / error)
    outside = special.ndtr((low - half) / error) + special.ndtr(-(high + half) / error)
    return float(np.mean(np.maximum(inside, 0) + outside))


def chance_with(interval: Interval, n: int, region: Region, level: float = LEVEL) -> float | None:
    """`chance_to_settle` for `n` replicates like those of `interval`; None when its spread is unknown."""
    if interval.spread is None:
        return None
    estimate, working = _working(interval, region)
    return chance_to_settle(estimate, interval.spread, n, working, level)


def chance_to_clear(interval: Interval, n: int, region: Region, level: float = LEVEL) -> float | None:
    """How likely a run that goes on from `interval` to `n` replicates clears `region`; None where that is not known
    (a spread that no two different replicates show, or a proportion over prompts).

    Unlike `chance_to_settle` it counts the replicates that are there, and what they leave unknown of the truth.
    """
    if not interval.spread or interval.n < 2 or n <= interval.n:
        return None
    estimate, (low, high) = _working(interval, region)
    shift, spread = _continuations(interval.n, n)
    means = estimate + interval.spread * shift
    half = t_quantile(n, level) * interval.spread * spread / math.sqrt(n)
    inside = (low <= means - half) & (means + half <= high)
    return float(np.mean(inside | (means + half < low) | (means - half > high)))


@lru_cache(maxsize=32)
def _continuations(k: int, n: int) -> tuple[Floats, Floats]:
    """What `k` replicates of mean 0 and standard deviation 1 may become as `n`: 10,000 equally likely means and standard
    deviations, of truths as the k leave them (nothing was known of mean and deviation before)."""
    rng, draws, new = np.random.default_rng(0), 10_000, n - k
    deviation = np.sqrt((k - 1) / rng.chisquare(k - 1, draws))
    mean = deviation * math.sqrt(1 / k + 1 / new) * rng.normal(size=draws)  # of the new ones
    within = deviation**2 * rng.chisquare(new - 1, draws) if new > 1 else 0.0
    squares = (k - 1) + within + mean**2 * k * new / n
    return mean * new / n, np.sqrt(squares / (n - 1))
