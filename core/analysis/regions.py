"""Where an interval lies relative to the region that a claim expects."""

from __future__ import annotations

import math
from typing import Literal

from .statistics import Interval, Region

Stand = Literal["below", "inside", "above", "across"]


def stand(found: Interval, region: Region, strict: bool = False) -> Stand:
    """Where an interval, or a number without one, lies; a hair of rounding is forgiven.

    Args:
        region: the lowest and the highest accepted value; either may be infinite.
        strict: whether the ends of the region are not accepted.
    """
    low = found.estimate if found.low is None else found.low
    high = found.estimate if found.high is None else found.high
    if _below(region[0], low, strict) and _below(high, region[1], strict):
        return "inside"
    if not _below(region[0], high, strict):
        return "below"
    return "across" if _below(low, region[1], strict) else "above"


def _below(a: float, b: float, strict: bool) -> bool:
    if math.isinf(a) or math.isinf(b):
        return a <= b
    close = math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return not close and a < b if strict else close or a <= b
