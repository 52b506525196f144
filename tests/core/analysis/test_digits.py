"""Numbers print with the digits their spread supports."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.analysis import digits


@pytest.mark.parametrize(
    "estimate, half, shown",
    [
        (53.2134, 0.4, "53.2"),
        (1135.2, 30, "1135"),
        (1471.3, 0.5, "1471"),
        (0.6213, 0.06, "0.62"),
        (1.302, 0.1, "1.30"),
        (1.302, 0.2, "1.3"),
        (0.75, 0.12, "0.75"),
        (1.302, 0.03, "1.30"),
        (-0.97, 0.02, "-0.97"),
        (-0.001, 0.04, "0.00"),
        (0.5, 1e-9, "0.5000"),
        (3.2e-7, 1e-8, "3.2e-07"),
        (0, 0.02, "0.00"),
    ],
)
def test_digits_follow_the_half_width(estimate: float, half: float, shown: str) -> None:
    assert digits.number(estimate, estimate - half, estimate + half) == shown


@pytest.mark.parametrize("power", range(-2, 4))
@pytest.mark.parametrize("hair", [0.0, 1e-13, 1e-11])
def test_half_widths_that_arithmetic_leaves_a_hair_short_print_as_if_they_were_whole(
    power: int, hair: float
) -> None:
    """Two units of the last digit are a half-width of 0.2, 2, 20, …, and so is 0.1999…; of a ratio's interval it is one
    unit, 0.1, 1, 10, …. Clearly less than that asks for one digit more."""
    x, unit = 3.21654987 * 10.0**power, 10.0 ** (power - 1)
    decimals = max(0, 1 - power)
    for half, places in ((2 * unit * (1 - hair), decimals), (1.98 * unit, max(0, 2 - power))):
        assert digits.number(x, x - half, x + half) == f"{x:.{places}f}"
    half = unit * (1 - hair)
    low, high, places = x - half, x + half, max(decimals, 1 if x < 10 else 0)
    assert digits.interval(low, high, of_ratio=True) == f"[{low:.{places}f}, {high:.{places}f}]"


@pytest.mark.parametrize(
    "size, shown", [(0.1 - 1e-14, "0.1"), (1 - 1e-13, "1"), (10 - 1e-11, "10"), (99.9999999999, "100")]
)
def test_numbers_a_hair_below_a_power_of_ten_print_as_that_power(size: float, shown: str) -> None:
    assert digits.number(size) == shown


@pytest.mark.parametrize(
    "value, shown",
    [
        (3.0, "3"), (536870912.0, "536870912"), (-0.0, "0"), (4 / 3, "1.33"), (0.7, "0.7"),
        (0.0625, "0.0625"),
        (12345.678, "12346"), (3.2e-7, "3.2e-7"), (1.23456e-9, "1.23e-9"), (math.nan, "n/a"), (None, "n/a"),
        (math.inf, "inf"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_without_an_interval(value: float | None, shown: str) -> None:
    assert digits.number(value) == shown


@pytest.mark.parametrize(
    "args, shown",
    [
        ((1.3, 1.2, 1.4), "1.3x [1.2, 1.4]"),
        ((0.61, 0.58, 0.64), "0.61x [0.58, 0.64]"),
        ((8.5, 6.0, 11.0), "8.5x [6.0, 11.0]"),
        ((12.3, 10.1, 14.6), "12x [10, 15]"),
        ((2.0, None, None), "2.0x"),
        ((4 / 3, None, None), "1.33x"),
        ((250.0, None, None), "250x"),
        ((math.nan, None, None), "n/a"),
    ],
)
def test_ratios(args: tuple[float, float | None, float | None], shown: str) -> None:
    assert digits.format(*args, kind="ratio") == shown


def test_units_and_signs() -> None:
    assert digits.format(53.21, 52.8, 53.6, "ms") == "53.2 ms [52.8, 53.6]"
    assert digits.format(53.21, 52.8, 53.6, "ms", with_interval=False) == "53.2 ms"
    assert digits.format(0.4, 0.34, 0.46, kind="difference") == "+0.40 [0.34, 0.46]"
    assert digits.format(-0.4, -0.46, -0.34, kind="difference") == "-0.40 [-0.46, -0.34]"
    assert digits.format(0, kind="difference") == "0"
    assert digits.format(5.369e8, unit="B") == "537 MB"
    assert digits.format(1471, unit="ms") == "1471 ms"
    assert digits.format(0.0123, 0.0121, 0.0125, "ms") == "12.3 us [12.1, 12.5]"
    assert digits.format(14, unit="tokens") == "14 tokens"
    assert digits.format(1.0, 0.944, 1.0) == "1.00 [0.94, 1.00]"


@pytest.mark.parametrize(
    "value, unit, factor, name",
    [(537e6, "B", 1e6, "MB"), (2e16, "GB", 1e3, "TB"), (15_000, "ms", 1e3, "s"), (0.05, "ms", 1e-3, "us"),
     (0.001, "B", 1, "B"), (99, "prompts", 1, "prompts"), (0, "B", 1, "B"), (math.inf, "B", 1, "B")],
)  # fmt: skip
def test_scaled(value: float, unit: str, factor: float, name: str) -> None:
    found_factor, found_name = digits.scaled(value, unit)
    assert found_factor == pytest.approx(factor) and found_name == name


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 0.5))
def test_ordinary_sizes_have_no_exponent_and_lose_less_than_the_spread(size: float, relative: float) -> None:
    half = size * relative
    shown = digits.number(size, size - half, size + half)
    assert re.fullmatch(r"\d+(\.\d+)?", shown)
    # Rounded to a unit of which the half-width is two or more, unless that is finer than four digits or than one.
    unit = 10.0 ** -len(shown.partition(".")[2])
    assert abs(float(shown) - size) <= 0.5001 * unit
    four_digits = 10.0 ** (math.floor(math.log10(size) + 1e-9) - 3)
    assert unit <= max(half / 2, four_digits) * 1.001
    brackets = digits.interval(size - half, size + half)
    assert re.fullmatch(r"\[\d+(\.\d+)?, \d+(\.\d+)?\]", brackets)
