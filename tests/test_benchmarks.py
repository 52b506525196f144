"""The rule by which benchmarks print a ratio, or none."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "steps.py"


@pytest.fixture(scope="module")
def steps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("steps", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["steps"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


OURS, THEIRS = (
    [1.0, 2.0, 4.0, 1.0],
    [2.5, 4.9, 10.1, 2.6],
)  # ratios 2.5, 2.45, 2.525, 2.6; medians 1.5 and 3.75


@pytest.mark.parametrize(
    ("control", "is_off"), [(1.0, 0), (1.029, 0), (0.971, 0), (1.031, 1), (0.969, 1), (math.nan, 1)]
)
def test_a_control_that_is_off_leaves_no_ratio(steps: ModuleType, control: float, is_off: int) -> None:
    conditions = steps.Conditions(control, 0.4, "a processor")
    said = steps.times_as_fast(OURS, THEIRS, conditions)
    assert (f"A/A {control:.3f}" in said, "0.4 cores" in said, "a processor" in said) == (True, True, True)
    assert ("times as fast" in said) == ("2.51" in said) == (not is_off), said
    assert ("no ratio" in said) == ("1.5000" in said) == ("3.7500" in said) == bool(is_off), said


def test_the_control_is_of_rounds_and_not_of_sums(steps: ModuleType) -> None:
    """Rounds of different length, as on a machine that slows down; one round is an outlier."""
    assert steps.control_of([1, 2, 4, 8, 90], [1, 2, 4, 8, 9]) == 1
    assert steps.control_of([1.1, 2.2, 4.4], [1, 2, 4]) == pytest.approx(1.1)
    assert math.isnan(steps.control_of([], []))


def test_what_depends_on_the_place_in_a_round_is_no_difference(steps: ModuleType) -> None:
    """The first step of each two takes a fifth longer; the control is 1 over an even number of rounds."""
    taken = itertools.cycle([1.2, 1.0])
    first, again = zip(*(steps.twice(taken, number) for number in range(6)), strict=True)
    assert sorted(first) == sorted(again) == [1.0] * 3 + [1.2] * 3
    assert steps.control_of(first, again) == pytest.approx(1, abs=OFF_BY_THE_MEDIAN)


OFF_BY_THE_MEDIAN = (1.2 + 1 / 1.2) / 2 - 1
"""What the median of as many 1.2 as 1/1.2 is away from 1."""


def test_what_others_use_and_the_processor_stand_beside_a_figure(steps: ModuleType) -> None:
    conditions = steps.Others().conditions([1.0], [1.0])
    assert conditions.control == 1 and conditions.is_steady
    assert conditions.others >= 0 and conditions.cpu


def test_a_share_above_the_ceiling_is_no_figure(steps: ModuleType) -> None:
    fma = {"gflops": 100.0, "bits": 256, "sums": 8, "dtype": "float32", "by_bits": {"256": 100.0}}
    peaks = {
        "fma": fma,
        "without_fma": "",
        "matmul_gflops": 80.0,
        "matmul_library": "mkl",
        "matmul_size": 512,
    }
    assert "40 GFLOP/s, 40% of the FMA peak (100 GFLOP/s" in steps.shares(40.0, peaks)
    assert "and 50% of the best product (80 GFLOP/s (mkl, n = 512))" in steps.shares(40.0, peaks)
    wrong = steps.shares(110.0, peaks)
    assert "wrong ceiling" in wrong and "110%" not in wrong
    without = steps.shares(40.0, peaks | {"fma": None, "without_fma": "it needs Numba"})
    assert "no FMA peak (it needs Numba) and 50% of the best product" in without


def test_where_there_is_no_ratio_a_row_has_both_times(steps: ModuleType) -> None:
    ratio, seconds = (1.63, 1.6, 1.66), (0.0125, 0.02)
    assert steps.shown_ratio(ratio, seconds, steps.Conditions(1.01, 0, "")) == "1.63 [1.60, 1.66]"
    assert steps.shown_ratio(ratio, seconds, steps.Conditions(1.05, 0, "")) == "none: 12.5, 20 ms"
