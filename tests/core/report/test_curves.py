"""Curves over a recorded metric: means of both, seeds whose steps differ, and what was paid before step 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection

from lab.core.analysis.comparison import compare
from lab.core.analysis.statistics import mean_interval
from lab.core.experiment.schema import Experiment
from lab.core.report.curves import bands
from lab.core.report.plot import draw

from .test_plot import lines, words

Points = list[tuple[int, float, float]]  # step, tokens, right


def experiment(**plot: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "variants": {"rl": {}, "kd": {}}, "baseline": "rl",
            "seeds": 6, "metrics": {"right": {"kind": "trained"}, "tokens": {"kind": "trained", "unit": "tok"}},
            "plots": [{"x": "tokens", "y": "right", "over": "step"} | plot],
        }
    )  # fmt: skip


def recorded(**seeds: list[Points]) -> pd.DataFrame:
    return pd.DataFrame(
        {"variant": name, "metric": metric, "replicate": seed, "step": step, "value": value}
        for name, curves in seeds.items()
        for seed, points in enumerate(curves)
        for step, tokens, right in points
        for metric, value in (("tokens", tokens), ("right", right))
    )


def test_at_each_step_that_all_seeds_have_stand_the_means_of_both() -> None:
    seeds = [[(0, 0, 0.1), (5, 100 + 10 * n, 0.3 + 0.01 * n), (10, 300, 0.5 + 0.02 * n)] for n in range(6)]
    of = experiment()
    (line,) = bands(of.plots[0], of, recorded(rl=seeds)).series  # type: ignore[arg-type]
    assert line.x == [0, 125, 300] and line.y == pytest.approx([0.1, 0.325, 0.55]) and line.paid == 0
    seen = mean_interval([0.3 + 0.01 * n for n in range(6)])
    assert (line.low[1], line.high[1]) == pytest.approx((seen.low, seen.high))


def test_seeds_with_other_steps_are_read_at_common_places_and_never_beyond_one_of_them() -> None:
    first = [(0, 0, 0.0), (1, 100, 0.2), (2, 200, 0.6)]
    second = [(1, 20, 0.1), (2, 120, 0.5), (3, 140, 0.5), (4, 180, 0.9)]
    of = experiment()
    picture = bands(of.plots[0], of, recorded(rl=[first, second]))  # type: ignore[list-item]
    (line,) = picture.series
    assert line.x == [20, 100, 120, 140, 180], "the places of both, from the later begin to the earlier end"
    by_hand = [(0.04 + 0.1) / 2, (0.2 + 0.42) / 2, (0.28 + 0.5) / 2, (0.36 + 0.5) / 2, (0.52 + 0.9) / 2]
    assert line.y == pytest.approx(by_hand)
    assert picture.replicates == (2, 2) and np.isnan(line.low).all(), "two seeds are a preview"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ([(1, 300, 0.1), (2, 400, 0.2), (3, 500, 0.2)], "its seeds have no tokens in common"),
        ([(0, 0, 0.1), (1, 90, 0.2), (2, 80, 0.2)], "steps differ among its seeds, and tokens falls from one step"),
    ],
)  # fmt: skip
def test_what_cannot_be_averaged_is_named_and_not_drawn(second: Points, why: str) -> None:
    of, seeds = experiment(), [[(0, 0.0, 0.1), (1, 200.0, 0.2)], second]
    curves = recorded(rl=seeds, kd=[[(0, 0.0, 0.2), (1, 200.0, 0.4)]])
    figure = draw(of.plots[0], of, compare(of, curves.iloc[:0]), [], curves)
    assert set(lines(figure)) == {"kd"}
    assert f"not drawn: rl ({why}" in " ".join(words(figure).split())


@pytest.mark.parametrize("scale", ["linear", "log-x"])
def test_what_was_paid_before_step_0_is_a_dotted_step_from_0(scale: str) -> None:
    of = experiment(scale=scale)
    rl = [[(0, 0.0, 0.1), (1, 100.0, 0.3), (2, 5000.0, 0.5)]] * 6
    kd = [[(step, 3000 + tokens, right) for step, tokens, right in curve] for curve in rl]
    curves = recorded(rl=rl, kd=kd)
    figure = draw(of.plots[0], of, compare(of, curves.iloc[:0]), [], curves)
    axes = figure.axes[0]
    (paid,) = [line for line in axes.get_lines() if line.get_gid() == "paid"]
    assert list(paid.get_xdata()) == [0, 3000] and list(paid.get_ydata()) == pytest.approx([0.1, 0.1])
    assert (
        paid.get_color() == lines(figure)["kd"].get_color()
        and list(lines(figure)["kd"].get_xdata())[0] == 3000
    )
    assert "dotted, tokens counted before step 0: kd 3,000 tok" in words(
        figure
    ) and "6 seeds, 95% bands" in words(figure)
    assert ("from 0 to 100 x is linear" in words(figure)) == (scale == "log-x")
    at = [float(axes.transData.transform((x, 0.1))[0]) for x in (0, 100, 1000, 10_000)]
    assert at == sorted(at), "0 has its place left of all else"
    if scale == "log-x":
        assert at[2] - at[1] == pytest.approx(at[3] - at[2]), "a factor of ten is one way everywhere"
    assert len([band for band in axes.collections if isinstance(band, PolyCollection)]) == 2
    assert figure.axes[0].get_xlabel() == "tokens, tok"


def test_what_rounding_left_at_step_0_is_nothing_and_stands_at_0() -> None:
    of = experiment(scale="log-x")
    curves = recorded(rl=[[(0, 1e-13, 0.1), (1, 0.02, 0.3), (2, 0.5, 0.5)]] * 2)
    axes = draw(of.plots[0], of, compare(of, curves.iloc[:0]), [], curves).axes[0]
    assert [line.get_gid() for line in axes.get_lines()] == ["series-0"]
    assert list(axes.get_xticks()) == [0, 0.01, 0.1]


def test_what_falls_again_was_not_paid() -> None:
    of = experiment()
    seeds = [[(0, 30.0, 0.1), (1, 20.0, 0.3), (2, 50.0, 0.5)]] * 2
    (line,) = bands(of.plots[0], of, recorded(rl=seeds)).series
    assert line.x == [30, 20, 50] and line.paid == 0, "in the order of steps"


def test_a_run_that_has_not_recorded_it_draws_nothing() -> None:
    of = experiment()
    curves = recorded(rl=[[(0, 0.0, 0.1)]]).query("metric == 'right'")
    assert "nothing to draw" in words(draw(of.plots[0], of, compare(of, curves.iloc[:0]), [], curves))


def test_seeds_that_paid_unequally_begin_together() -> None:
    """Paid 10 and 30: both begin at 20, their mean, and go on as far as the shorter one."""
    first = [(0, 10, 0.0), (1, 20, 1.0)]
    second = [(0, 30, 0.0), (2, 40, 0.5)]
    of = experiment()
    (line,) = bands(of.plots[0], of, recorded(rl=[first, second])).series  # type: ignore[list-item]
    assert line.x == [20, 30] and line.y == [0.0, 0.75] and line.paid == 20
