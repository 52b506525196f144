"""Warnings about claims that prove less than they seem to. `lab validate` prints them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from . import possible
from .document import Document, Keys
from .mistakes import Position
from .possible import Region
from .schema import Claim, Experiment, Metric, Scalar


@dataclass(frozen=True)
class Warned:
    """A warning about a claim."""

    position: Position
    claim: str
    message: str

    def __str__(self) -> str:
        return f"{self.position}: warning: {self.claim}: {self.message}"


def warnings(experiment: Experiment, document: Document) -> list[Warned]:
    """All warnings of a file without mistakes, in the order of its lines."""
    found: list[Warned] = []

    def warn(index: int, key: str, message: str) -> None:
        keys: Keys = ("claims", index, key)
        found.append(Warned(document.position(keys), experiment.claims[index].id, message))

    for index, claim in enumerate(experiment.claims):
        for key, message in _of_one(claim, experiment):
            warn(index, key, message)
    for (_, first), (later, second) in combinations(enumerate(experiment.claims), 2):
        if (shared := _of_two(first, second, experiment)) is not None:
            warn(later, "expect", shared)
    return sorted(found, key=lambda one: one.position.line or 0)


def _of_one(claim: Claim, experiment: Experiment) -> Iterator[tuple[str, str]]:
    key, _, place = (part.strip() for part in claim.source.partition(","))
    if key != "ours" and not place:
        yield "source", f"says no place in {key}: a section, a table or a figure that one can look up"
    if claim.against is not None and claim.against not in claim.measure.variants:
        yield (
            "against",
            f"the source compares with {claim.against}, the measure with {claim.measure.over or 'nothing'}",
        )
    if claim.expect.order is not None:
        return
    (low, high), (least, most) = claim.expect.region, possible.of_claim(claim, experiment)
    if low <= least and most <= high:
        yield "expect", f"cannot fail: every possible {claim.measure.kind} of {claim.measure.metric} meets it"
    metric = experiment.metrics[claim.measure.metric]
    outside = [figure for figure in figures(claim, metric) if not _nearly_inside(figure, (low, high))]
    if outside:
        yield (
            "paper",
            f"the paper's figure, {claim.paper}, lies outside the expected region, {_shown((low, high))}",
        )


def _of_two(first: Claim, second: Claim, experiment: Experiment) -> str | None:
    devices = {claim.setting.get("device", "") for claim in (first, second)} - {""}
    if _subject(first, experiment) != _subject(second, experiment) or len(devices) > 1:
        return None
    one, two = _change(first), _change(second)
    if all(map(math.isclose, one, two)):
        return f"repeats {first.id}: the same measure with the same bounds"
    low, high = max(one[0], two[0]), min(one[1], two[1])
    is_counted = experiment.metrics[first.measure.metric].kind == "counted"
    if low > high or (low == high and not is_counted):
        return None
    is_compared = first.measure.kind in ("ratio", "difference")
    if not (_excludes(one, two, is_compared) or _excludes(two, one, is_compared)):
        return None
    shared = (math.exp(low), math.exp(high)) if first.measure.kind == "ratio" else (low, high)
    return f"it and {first.id} exclude each other, and their regions share {_shown(shared)}: both can hold"


def _subject(claim: Claim, experiment: Experiment) -> tuple[object, ...]:
    """What a claim measures; a ratio or a difference is the same whichever way round it is written."""
    measure = claim.measure
    where = sorted((axis, str(_end(value, axis, experiment))) for axis, value in measure.where.items())
    variants = sorted(measure.variants) if measure.kind in ("ratio", "difference") else measure.variants
    return measure.kind, measure.metric, tuple(variants), measure.axis, tuple(where), claim.expect.order


def _change(claim: Claim) -> Region:
    """The region with "no change" at 0: of a ratio its logarithm, and the variant that sorts first in front."""
    low, high = claim.expect.region
    if claim.measure.kind == "ratio":
        low, high = (
            math.log(end) if 0 < end < math.inf else math.copysign(math.inf, end - 1) for end in (low, high)
        )
    is_turned = claim.measure.kind in ("ratio", "difference") and claim.measure.of[0] > (
        claim.measure.over or ""
    )
    return (-high, -low) if is_turned else (low, high)


def _excludes(same: Region, changed: Region, is_compared: bool) -> bool:
    """Whether one region says "no different" and the other "different": a margin on both sides of no change, or of two
    variants a bound on one side ("at most 10% slower"), beside a region on that side ("at least 5% slower")."""
    if not same[0] < 0 < same[1] or changed[0] <= 0 <= changed[1]:
        return False
    has_margin = math.isfinite(same[0]) and math.isfinite(same[1])
    is_opposed = (math.isinf(same[0]) and math.isinf(changed[1])) or (
        math.isinf(same[1]) and math.isinf(changed[0])
    )
    return has_margin or (is_compared and is_opposed)


def _end(value: Scalar, axis: str, experiment: Experiment) -> Scalar:
    """The value of `max` or `min`."""
    numbers = [one for one in experiment.values_of(axis) if isinstance(one, int | float)]
    if value not in ("max", "min") or not numbers:
        return value
    return max(numbers) if value == "max" else min(numbers)


_NUMBER = r"[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+−]?\d+)?"
_FIGURE = re.compile(
    rf"(?:about|around|up to|at least|at most|over|under|[~≈<>≤≥])?\s*(?P<low>{_NUMBER})"
    rf"(?:\s*(?:-|–|—|to)\s*(?P<high>{_NUMBER}))?\s*(?P<unit>\S*)"
)


def figures(claim: Claim, metric: Metric) -> list[float]:
    """What the source gives for the claim's measure, in the metric's unit: one number or the two ends of a range.

    Text counts up to its first comma, and only if that is one figure: "1.7-1.8, A100", "up to 3x", "4.7%". None where it
    says more than that, or in a unit that is not the metric's.
    """
    if claim.paper is None or not isinstance(claim.paper, str):
        return [] if claim.paper is None else [float(claim.paper)]
    found = _FIGURE.fullmatch(re.split(r",\s|[;(]", claim.paper)[0].strip())
    scale = _scale(found["unit"], claim.measure.kind, metric.unit) if found else None
    if found is None or scale is None:
        return []
    numbers = [found["low"], found["high"]] if found["high"] else [found["low"]]
    return [float(number.replace(",", "").replace("−", "-")) * scale for number in numbers]


def _scale(unit: str, kind: str, ours: str) -> float | None:
    """The factor from that unit to the measure's; None where they cannot be compared."""
    if kind in ("ratio", "exponent", "trend"):
        return 1.0 if unit in ("", "x", "×", "times") else None
    if unit in ("", ours):
        return 1.0
    if unit == "%":
        return None if ours else 0.01
    family = next((family for family in possible.FAMILIES if unit in family and ours in family), None)
    return family[unit] / family[ours] if family else None


def _nearly_inside(figure: float, region: Region) -> bool:
    """Whether it is inside, up to the rounding of a change of units."""
    return region[0] <= figure <= region[1] or any(math.isclose(figure, end) for end in region)


def _shown(region: Region) -> str:
    low, high = region
    if low == high:
        return f"{low:g}"
    if math.isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"
