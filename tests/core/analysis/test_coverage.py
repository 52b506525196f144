"""Do 95% intervals cover the truth 95 times in a hundred? 20,000 draws of six replicates each.

Under normal noise (for ratios and exponents: normal on the log scale) they must. Other noise is measured,
printed (`pytest -s`) and kept here as figures, with wide limits only, because no interval from six numbers is
right for all:

    coverage, %                                        mean   ratio, difference   exponent
    normal                                             95.0          94.9            95.0
    lognormal, sigma 1, a long tail to one side        82.7          97.3            96.8
    one replicate in ten with ten times the noise      96.7          97.4            97.4

So a mean of skewed numbers is the weak one; pairing makes noise symmetric, and then the intervals err to the
safe side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from lab.core.analysis.statistics import (
    Floats,
    difference_interval,
    exponent_interval,
    mean_interval,
    proportion_interval,
    ratio_interval,
)

DRAWS, SIX = 20_000, 6
AXIS = np.array([512.0, 1024.0, 2048.0, 4096.0])

Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.normal(size=shape)


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Lognormal with sigma 1, centred on its mean: a long tail to one side."""
    return rng.lognormal(size=shape) - math.exp(0.5)


def contaminated(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """One in ten replicates is disturbed: ten times the noise."""
    return rng.normal(size=shape) * np.where(rng.random(shape) < 0.1, 10, 1)


def coverage(kind: str, noise: Noise, draws: int = DRAWS) -> float:
    """Percent of intervals that hold the truth; pairs share a drift that is larger than their noise."""
    rng = np.random.default_rng(2024)
    if kind == "exponent":
        logs = 1.7 * np.log(AXIS) + 0.05 * noise(rng, (draws, SIX, len(AXIS)))
        tables = np.exp(logs + rng.normal(size=(draws, SIX, 1)))
        missed = sum(exponent_interval(AXIS, table).excludes(1.7) for table in tables)
        return 100 * (1 - missed / draws)
    drift, a, b = 3 * rng.normal(size=(draws, SIX)), noise(rng, (draws, SIX)), noise(rng, (draws, SIX))
    if kind == "mean":
        missed = sum(mean_interval(x).excludes(5.0) for x in 5 + a)
    elif kind == "difference":
        pairs = zip(2 + drift + a, drift + b, strict=True)
        missed = sum(difference_interval(x, y).excludes(2.0) for x, y in pairs)
    else:
        pairs = zip(1.3 * np.exp(0.1 * (drift + a)), np.exp(0.1 * (drift + b)), strict=True)
        missed = sum(ratio_interval(x, y).excludes(1.3) for x, y in pairs)
    return 100 * (1 - missed / draws)


KINDS = ["mean", "ratio", "difference", "exponent"]


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_under_normal_noise(kind: str) -> None:
    assert 94.3 <= coverage(kind, normal) <= 96.5


def test_equal_arms_are_rarely_called_different() -> None:
    rng = np.random.default_rng(7)
    drift = rng.normal(size=(DRAWS, SIX))
    a, b = (np.exp(0.05 * (drift + rng.normal(size=(DRAWS, SIX)))) for _ in range(2))
    called = sum(ratio_interval(x, y).excludes(1) for x, y in zip(a, b, strict=True))
    assert called / DRAWS <= 0.06


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", [heavy, contaminated])
def test_coverage_under_other_noise_is_reported(kind: str, noise: Noise) -> None:
    found = coverage(kind, noise, draws=4000)  # within half a percent
    print(f"{noise.__name__:>12} {kind:<10} {found:.1f}%")
    assert 75 < found < 99.5


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.99])
def test_proportions_cover_at_least_as_often_as_they_say(truth: float) -> None:
    """Exactly, not by drawing: the chance of every outcome whose interval holds the truth."""
    n = 64
    covered = 0.0
    for k in range(n + 1):
        found = proportion_interval(k, n)
        if not found.excludes(truth):
            covered += math.comb(n, k) * truth**k * (1 - truth) ** (n - k)
    assert covered >= 0.95
