"""Known truths: textbook numbers, exact rules, and what the formulas must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lab.core.analysis.statistics import (
    FEWEST,
    Interval,
    chance_to_settle,
    chance_with,
    difference_interval,
    exponent_interval,
    log_mean_interval,
    mean_interval,
    proportion_interval,
    ratio_interval,
    trend_interval,
)

INF = math.inf


def test_mean_interval_is_the_textbooks() -> None:
    # 1..6: mean 3.5, s² = 3.5, t(0.975, 5) = 2.5706
    found = mean_interval([1, 2, 3, 4, 5, 6])
    half = 2.570582 * math.sqrt(3.5 / 6)
    assert found.estimate == pytest.approx(3.5)
    assert (found.low, found.high) == pytest.approx((3.5 - half, 3.5 + half), rel=1e-6)
    assert found.n == 6 and found.spread == pytest.approx(math.sqrt(3.5))


def test_sleep_data_of_student_1908() -> None:
    """The first use of the test: hours of sleep gained, ten patients, two drugs; t = 4.06, mean 1.58."""
    dextro = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    laevo = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = difference_interval(laevo, dextro)
    assert found.estimate == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


def test_ratio_interval_is_the_difference_of_logs() -> None:
    a, b = [2.0, 4.4, 5.8, 8.2], [1.0, 2.0, 3.0, 4.0]
    logs = difference_interval(np.log(a), np.log(b))
    found = ratio_interval(a, b)
    assert logs.low is not None and logs.high is not None
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (math.exp(logs.estimate), math.exp(logs.low), math.exp(logs.high))
    )
    assert found.scale == "log"


def test_a_ratio_and_its_inverse_say_the_same() -> None:
    a, b = [2.0, 4.4, 5.8, 8.2], [1.0, 2.0, 3.0, 4.0]
    there, back = ratio_interval(a, b), ratio_interval(b, a)
    assert there.high is not None and back.low is not None
    assert there.estimate * back.estimate == pytest.approx(1)
    assert there.high * back.low == pytest.approx(1)


def test_pairing_removes_what_is_shared() -> None:
    drift = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    found = ratio_interval(drift * [1.29, 1.3, 1.31, 1.3, 1.3, 1.3], drift)
    assert found.low is not None and found.high is not None
    assert 1.29 < found.low < 1.3 < found.high < 1.31


def test_geometric_mean() -> None:
    assert log_mean_interval([1.0, 10.0, 100.0]).estimate == pytest.approx(10)


def test_exponent_is_exact_on_a_power_law() -> None:
    n = np.array([512, 1024, 2048, 4096])
    table = np.array([3.0, 5.0, 2.0])[:, None] * n**1.7
    assert exponent_interval(n, table).estimate == pytest.approx(1.7)


def test_exponent_is_the_regression_slope() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 7.0]), np.array([2.0, 3.0, 5.0, 30.0])
    expected = stats.linregress(np.log(x), np.log(y)).slope
    assert exponent_interval(x, [y, y]).estimate == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
def test_trend_is_spearmans(ties: bool) -> None:
    rng = np.random.default_rng(3)
    x, y = np.arange(20.0), rng.normal(size=(1, 20))
    y = np.round(y) if ties else y
    assert trend_interval(x, y).estimate == pytest.approx(stats.spearmanr(x, y[0]).statistic)


def test_trend_skips_missing_steps_and_knows_flat_curves() -> None:
    nan = math.nan
    assert trend_interval([1, 2, 3, 4], [[1, 2, nan, 3], [5, 6, 7, nan]]).estimate == pytest.approx(1)
    assert trend_interval([1, 2, 3], [[7, 7, 7]]).estimate == 0


def test_trend_stays_in_its_range() -> None:
    found = trend_interval([1, 2, 3, 4], [[1, 2, 3, 4]] * 5 + [[1, 2, 4, 3]])
    assert found.high == 1.0


@pytest.mark.parametrize("successes, trials", [(0, 10), (3, 10), (10, 10), (64, 64), (1, 1)])
def test_proportion_interval_is_clopper_and_pearsons(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(method="exact")
    found = proportion_interval(successes, trials)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: ratio_interval([1, 0], [1, 1]), "0 among numbers that must be above zero"),
        (lambda: ratio_interval([1, 1], [1, -2.5]), "-2.5 among numbers"),
        (lambda: log_mean_interval([1, -1]), "-1 among"),
        (lambda: mean_interval([]), "no replicates"),
        (lambda: mean_interval([1, math.nan]), "nan among the replicates"),
        (lambda: mean_interval([1, INF]), "inf among the replicates"),
        (lambda: difference_interval([1, 2], [1]), "2 and 1 replicates cannot be paired"),
        (lambda: exponent_interval([2, 2], [[1, 2]]), "two different values"),
        (lambda: trend_interval([1, 2], [[1, 2]]), "at least three points"),
        (lambda: proportion_interval(3, 2), "3 of 2"),
    ],
)
def test_refusals_name_what_is_wrong(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]


def test_one_replicate_has_no_interval() -> None:
    assert mean_interval([3.0]) == Interval(3.0, None, None, 1)


def test_no_spread_gives_no_certainty_below_six_replicates() -> None:
    for n in range(2, FEWEST):
        found = mean_interval([0.4] * n)
        assert found.low is None and found.high is None and found.agree
    found = mean_interval([0.4] * FEWEST)
    assert found.low == found.high == pytest.approx(0.4) and found.agree


def test_rounding_is_no_spread() -> None:
    a, b = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), np.array([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert np.ptp(a - b) > 0  # in float64 these differences are not all 0.3
    assert difference_interval(a, b).agree
    assert ratio_interval(a, a * 3).agree


def test_chance_to_settle_is_that_of_the_noncentral_t() -> None:
    n, d = 8, 0.9  # one bound: inside or outside is a two-sided one-sample t-test against it
    t, shift = stats.t.ppf(0.975, n - 1), d * math.sqrt(n)
    power = stats.nct.sf(t, n - 1, shift) + stats.nct.cdf(-t, n - 1, shift)
    assert chance_to_settle(0.5 + 2 * d, 2.0, n, (0.5, INF)) == pytest.approx(power, abs=1e-3)


def test_chance_to_settle_agrees_with_simulation() -> None:
    rng, n, (low, high) = np.random.default_rng(11), 7, (-0.8, 0.9)
    x = rng.normal(0.2, 0.7, (40_000, n))
    half = stats.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / math.sqrt(n)
    down, up = x.mean(axis=1) - half, x.mean(axis=1) + half
    settled = ((down >= low) & (up <= high)) | (up < low) | (down > high)
    assert chance_to_settle(0.2, 0.7, n, (low, high)) == pytest.approx(settled.mean(), abs=0.01)


def test_chances_without_spread() -> None:
    assert chance_to_settle(1, 1, 1, (0, INF)) == 0 and chance_to_settle(9, 1, FEWEST - 1, (0, INF)) == 0
    assert chance_to_settle(1, 0, FEWEST, (0, INF)) == 1
    assert chance_to_settle(1, 0, 2, (0, INF)) == 0
    assert chance_with(Interval(1, None, None, 1), 6, (0, INF)) is None


def test_a_ratio_of_two_replicates_far_apart_has_no_upper_end() -> None:
    found = ratio_interval([1.0, 9.0], [1.0, 1.0], level=1 - 1e-4)
    assert found.estimate == pytest.approx(3) and found.low == 0 and found.high == math.inf
    assert not found.excludes(1.0)
