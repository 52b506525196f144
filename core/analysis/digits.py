"""Formats numbers: as many digits as their spread supports, and no more.

The terminal, the report and the CSV's readable columns all print through here, so one figure looks the same
everywhere.
"""

from __future__ import annotations

import math

MOST = 4  # significant digits of a measured figure, however narrow its interval
PLAIN = 3  # significant digits where no interval says more

# Units with smaller and larger neighbours, each a thousand times the one before.
_FAMILIES = (
    ("ns", "us", "ms", "s"),
    ("B", "KB", "MB", "GB", "TB"),
    ("FLOP/s", "KFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s"),
)


def number(estimate: float | None, low: float | None = None, high: float | None = None) -> str:
    """A figure with the digits that its interval supports.

    `number(53.21, 52.8, 53.6)` is "53.2", `number(1135.2, 1105, 1165)` is "1135". Without an interval whole
    numbers print exactly and others with three digits. What is missing or undefined prints as "n/a".
    """
    if estimate is None or math.isnan(estimate):
        return "n/a"
    if math.isinf(estimate):
        return "inf" if estimate > 0 else "-inf"
    half = _half_width(low, high)
    if not half:
        return _without_interval(estimate)
    if not _is_ordinary(max(abs(estimate), half)):
        return f"{estimate:.1e}"
    return _fixed(estimate, _decimals(estimate, half))


def interval(low: float | None, high: float | None, *, of_ratio: bool = False) -> str:
    """`[1.2, 1.4]`; empty where there is none. Ratios take one digit less, and one decimal below ten."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    if math.isinf(low) or math.isinf(high):
        return f"[{number(low)}, {number(high)}]"
    middle, half = (low + high) / 2, (high - low) / 2
    if not half:
        return f"[{_without_interval(low)}, {_without_interval(high)}]"
    if not _is_ordinary(max(abs(low), abs(high))):
        return f"[{low:.1e}, {high:.1e}]"
    decimals = max(_decimals(middle, half, 1), _least(middle)) if of_ratio else _decimals(middle, half)
    return f"[{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def times(ratio: float | None, low: float | None = None, high: float | None = None) -> str:
    """A ratio: `1.3x`, at least one decimal below ten."""
    if ratio is None or not math.isfinite(ratio):
        return number(ratio)
    half = _half_width(low, high)
    if not _is_ordinary(abs(ratio)):
        return f"{number(ratio)}x"
    decimals = _decimals(ratio, half, coarse=1) if half else _natural_decimals(ratio)
    return f"{_fixed(ratio, max(decimals, _least(ratio)))}x"


def signed(difference: float | None, low: float | None = None, high: float | None = None) -> str:
    """A difference, its sign always shown: `+0.40`."""
    text = number(difference, low, high)
    return f"+{text}" if difference is not None and difference > 0 and text[0] not in "n-" else text


def format(
    estimate: float | None,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    *,
    kind: str = "value",
    with_interval: bool = True,
) -> str:
    """A figure, its unit and its interval: `53.2 ms [52.8, 53.6]`, `1.3x [1.2, 1.4]`, `+0.40 [0.34, 0.46]`.

    Args:
        estimate, low, high: in `unit`; for a ratio bare numbers.
        unit: as the metric declares it. Sizes and times too large or small to read move to a neighbour: 537
            MB.
        kind: "ratio" prints `x`, "difference" and "deviation" a sign; everything else is a value.
        with_interval: False leaves the brackets out but keeps the digits that the interval supports.
    """
    if kind == "ratio":
        text = times(estimate, low, high)
    else:
        factor, unit = scaled(estimate, unit)
        estimate, low, high = (None if x is None else x / factor for x in (estimate, low, high))
        text = (signed if kind in ("difference", "deviation") else number)(estimate, low, high)
        text += f" {unit}" if unit and text != "n/a" else ""
    brackets = interval(low, high, of_ratio=kind == "ratio") if with_interval else ""
    return f"{text} {brackets}" if brackets else text


def scaled(value: float | None, unit: str) -> tuple[float, str]:
    """What to divide by, and the unit then: `scaled(537e6, "B")` is (1e6, "MB").

    Units without neighbours stay as they are, and so do values from 0.1 up to 10,000, so that a column keeps its unit.
    """
    family = next((names for names in _FAMILIES if unit in names), None)
    if family is None or value is None or not value or not math.isfinite(value) or 0.1 <= abs(value) < 10_000:
        return 1.0, unit
    steps = math.floor(math.log10(abs(value)) / 3)
    index = min(max(family.index(unit) + steps, 0), len(family) - 1)
    return 1000.0 ** (index - family.index(unit)), family[index]


def is_scaled(unit: str) -> bool:
    """Whether figures of this unit may move to a neighbour, so that each needs its own unit."""
    return any(unit in names for names in _FAMILIES)


def _half_width(low: float | None, high: float | None) -> float:
    """0 where there is no interval to take digits from."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return 0.0
    return (high - low) / 2


def _decimals(estimate: float, half: float, coarse: int = 2) -> int:
    """So many that the half-width is `coarse` or more units of the last digit, with four significant at most.

    With 2, [0.61, 0.85] around 0.75 does not become 0.8 [0.6, 0.8].
    """
    wanted = -_order(half / coarse)
    return max(0, min(wanted, MOST - 1 - _order(estimate or half)))


def _least(ratio: float) -> int:
    return 1 if abs(ratio) < 10 else 0


def _natural_decimals(x: float) -> int:
    """Decimals of three significant digits, without zeros at the end."""
    text = _without_interval(x)
    return len(text.partition(".")[2])


def _without_interval(x: float) -> str:
    if x == round(x) and abs(x) < 1e15:
        return str(round(x))
    if not _is_ordinary(abs(x)):
        mantissa, _, exponent = f"{x:.{PLAIN - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = _fixed(x, max(0, PLAIN - 1 - _order(x)))
    return text.rstrip("0").rstrip(".") if "." in text else text


def _is_ordinary(size: float) -> bool:
    """Whether it reads without an exponent."""
    return size == 0 or 1e-4 <= size < 1e7


def _order(x: float) -> int:
    # The hair keeps a half-width of 0.1 that arithmetic left at 0.0999… from asking for one digit more.
    return math.floor(math.log10(abs(x)) + 1e-9)


def _fixed(x: float, decimals: int) -> str:
    text = f"{x:.{decimals}f}"
    return text[1:] if text[0] == "-" and not text.strip("-0.") else text  # no "-0.00"
