"""When a verdict may be given: the looks, what they may err, and how many replicates until the next that would settle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from lab.core.analysis.looks import Look, last_and_next, looks, more_to_settle
from lab.core.analysis.statistics import (
    FEWEST,
    Interval,
    chance_with,
    difference_interval,
    mean_interval,
    proportion_interval,
    ratio_interval,
)

INF = math.inf


@pytest.mark.parametrize(
    "planned, sizes", [(1, [6, 12, 24]), (2, [6, 12, 24]), (6, [6, 12, 24]), (10, [10, 20, 40])]
)
def test_looks_double_from_the_planned_number_but_six_at_least(planned: int, sizes: list[int]) -> None:
    assert [look.n for look in itertools.islice(looks(planned), 3)] == sizes


def test_the_errors_of_all_looks_add_up_to_five_percent() -> None:
    errors = [1 - look.level for look in itertools.islice(looks(6), 40)]
    assert errors[0] == 0.03125 and errors[1] == pytest.approx(0.009375)
    assert sum(errors) == pytest.approx(0.05) and sum(errors) <= 0.05 + 1e-12
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))


@pytest.mark.parametrize(
    "complete, last, following",
    [(0, None, 6), (5, None, 6), (6, 6, 12), (11, 6, 12), (12, 12, 24), (48, 48, 96)],
)
def test_between_looks_the_last_one_stands(complete: int, last: int | None, following: int) -> None:
    found, later = last_and_next(6, complete)
    assert (found.n if found else None, later.n) == (last, following)
    assert last_and_next(8, 7)[0] is None and last_and_next(8, 8)[0] == Look(8, 1 - 0.03125)


def test_more_to_settle_at_the_edges() -> None:
    sampled = Interval(1.2, 1.0, 1.4, 6, spread=0.19)
    assert more_to_settle(sampled, (1.2, INF), 6, 6) is None  # on the bound
    assert more_to_settle(sampled, (1.2001, INF), 6, 6) is None  # more than a thousand
    assert more_to_settle(sampled, (-INF, INF), 6, 6) == 6  # nothing to clear: the next look
    assert more_to_settle(Interval(1.2, None, None, 1), (1, INF), 6, 1) is None
    assert more_to_settle(Interval(0.3, None, None, 2, spread=0.0), (0.1, INF), 2, 2) == FEWEST - 2
    assert more_to_settle(proportion_interval(10, 10), (0.9, 1.0), 6, 6) is None


@pytest.mark.parametrize("planned, done", [(6, 6), (6, 9), (2, 2), (5, 7), (10, 10)])
@pytest.mark.parametrize("truth, region", [(0.5, (0.0, INF)), (0.5, (-0.3, 1.0)), (1.0, (-INF, 0.5))])
def test_more_to_settle_leads_to_the_first_look_that_does(
    planned: int, done: int, truth: float, region: tuple[float, float]
) -> None:
    """At that look the same spread clears the bound at that look's level; at every earlier one to come it does not."""

    def of_spread(n: int, level: float) -> Interval:
        x = np.linspace(-1, 1, n)
        return mean_interval(truth + (x - x.mean()) / x.std(ddof=1), level)

    more = more_to_settle(of_spread(done, 0.95), region, planned, done)
    assert more is not None and more > 0
    to_come = [look for look in itertools.islice(looks(planned), 8) if done < look.n <= done + more]
    assert to_come[-1].n == done + more
    for look in to_come:
        found = of_spread(look.n, look.level)
        assert found.low is not None and found.high is not None
        inside = region[0] <= found.low and found.high <= region[1]
        outside = found.high < region[0] or found.low > region[1]
        assert (inside or outside) is (look == to_come[-1])


def test_a_ratio_is_settled_on_its_logs() -> None:
    rng = np.random.default_rng(1)
    a, b = np.exp(rng.normal(0.2, 0.3, 8)), np.exp(rng.normal(0, 0.3, 8))
    plain = more_to_settle(difference_interval(np.log(a), np.log(b)), (math.log(1.05), INF), 8, 8)
    assert plain is not None and more_to_settle(ratio_interval(a, b), (1.05, INF), 8, 8) == plain
    assert more_to_settle(ratio_interval(a, b), (-1.0, INF), 8, 8) == 8  # below zero bounds nothing


def test_that_many_more_settle_at_least_about_half_the_time() -> None:
    found = Interval(0.4, -0.6, 1.4, 6, spread=1.0)
    more = more_to_settle(found, (0.0, INF), 6, 6)
    assert more is not None
    level = next(look.level for look in looks(6) if look.n == 6 + more)
    chance = chance_with(found, 6 + more, (0.0, INF), level)
    assert chance is not None and chance > 0.4
