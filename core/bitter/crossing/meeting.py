"""Where one curve of errors over sample sizes falls below another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

APART = 4
"""From one size to the next."""


class Meeting(NamedTuple):
    """Where a curve falls below another for good.

    Attributes:
        samples: interpolated; a factor of 4 beyond the sizes where it does so outside of them.
        inside: whether it does so between the smallest and the largest of them.
    """

    samples: float
    inside: bool


def meeting(sizes: Sequence[int], falling: Sequence[float], other: Sequence[float]) -> Meeting:
    """The last size from which `falling` is below `other` up to the largest size, by straight lines in log-log.

    Args:
        sizes: rising. falling, other: an error above 0 for each.
    """
    gaps = [math.log(a / b) for a, b in zip(falling, other, strict=True)]
    if gaps[-1] >= 0:
        return Meeting(float(sizes[-1] * APART), False)
    above = [i for i, gap in enumerate(gaps) if gap >= 0]
    if not above:
        return Meeting(sizes[0] / APART, False)
    i = above[-1]
    way = gaps[i] / (gaps[i] - gaps[i + 1])
    return Meeting(sizes[i] * (sizes[i + 1] / sizes[i]) ** way, True)


def sizes_up_to(largest: int, smallest: int) -> list[int]:
    """`largest`, a quarter of it, and so on down to `smallest`; rising."""
    found = [largest]
    while found[0] >= APART * smallest:
        found.insert(0, found[0] // APART)
    return found
