"""Where the source saw it and where this run did: what differs, and what another device can still say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..experiment.schema import Claim, Experiment, Scalar
from .measures import Measured
from .statistics import Interval, Region

TIME_UNITS = {"s", "ms", "us", "µs", "μs", "ns", "min", "h"}

# Words by which a setting names something other than a CUDA GPU; the rest (V100, A100, RTX 4090, …) is one.
_OTHER_KINDS = {
    "cpu": ("cpu", "xeon", "epyc", "ryzen", "core i"),
    "mps": ("mps", "apple", "m1", "m2", "m3", "m4"),
    "tpu": ("tpu",),
}


def device_kind(device: str) -> str:
    """cpu, mps, tpu or cuda: `device_kind("V100")` is "cuda"."""
    text = device.lower()
    return next((kind for kind, words in _OTHER_KINDS.items() if any(word in text for word in words)), "cuda")


def is_elsewhere(claim: Claim, environment: Mapping[str, Any]) -> bool:
    """Whether the claim was made for another kind of device than the one this run used."""
    there, here = claim.setting.get("device"), environment.get("device")
    return there is not None and here is not None and device_kind(str(there)) != device_kind(str(here))


def seen_word(claim: Claim, unit: str, measured: Measured) -> tuple[str, str]:
    """The starred word for a claim about another kind of device, and the same as a sentence.

    Ratios of times: "faster*" or "slower*", said of the variant that the claim calls faster: `over` where the
    region lies at 1 or above, else `of`. Other ratios and differences: "higher*" or "lower*", said of `of`;
    an order: of the later beside the earlier; values, exponents and trends: beside the region. "same*": no
    difference seen.
    """
    measure, found = claim.measure, measured.steps[0]
    if measure.kind == "order":
        sides = {_side(step, (0.0, 0.0)) for step in measured.steps}
        level = _LEVELS[sides.pop() if len(sides) == 1 else 0]
        said = f"{measure.metric} of each is {level} than before"
        words = "no steady order seen" if level == "same" else said
    elif measure.kind in ("ratio", "difference"):
        of, over = measure.variants
        side = _side(found, (1.0, 1.0) if measure.kind == "ratio" else (0.0, 0.0))
        if measure.kind == "ratio" and unit in TIME_UNITS:
            if claim.expect.region[0] >= 1:
                of, over, side = over, of, -side
            level = _PACES[side]
            words = f"{of} is {level} than {over}"
        else:
            level = _LEVELS[side]
            words = f"{measure.metric} of {of} is {level} than that of {over}"
        words = f"no difference seen between {of} and {over}" if side == 0 else words
    else:
        level = _LEVELS[_side(found, claim.expect.region)]
        words = "within what is claimed" if level == "same" else f"{level} than claimed"
    return f"{level}*", words


_LEVELS = {-1: "lower", 0: "same", 1: "higher"}
_PACES = {-1: "faster", 0: "same", 1: "slower"}  # of a time: less is faster


def _side(found: Interval, region: Region) -> int:
    """-1 wholly below, 1 wholly above, 0 neither."""
    low = found.estimate if found.low is None else found.low
    high = found.estimate if found.high is None else found.high
    return -1 if high < region[0] else 1 if low > region[1] else 0


def differences(
    claim: Claim, experiment: Experiment, place: Mapping[str, Scalar], environment: Mapping[str, Any]
) -> list[str]:
    """What differs between the claim's setting and this run: `["device: V100 there, CPU here", "rows: 4000
    there, 64 here"]`. The run's side is looked up in the point, in the measured variant's changes, in
    `params` and in the environment; what none of them knows is said to be unknown."""
    listed = []
    variant = experiment.variants.get(claim.measure.of[0])
    here = {**environment, **experiment.params, **(variant.params if variant else {}), **place}
    for key, there in claim.setting.items():
        if key == "device":
            listed += _device_difference(str(there), environment)
        elif key not in here:
            listed.append(f"{key}: {there} there, not known here")
        elif not _same(there, here[key]):
            listed.append(f"{key}: {there} there, {here[key]} here")
    return listed


def _device_difference(there: str, environment: Mapping[str, Any]) -> list[str]:
    kind, name = environment.get("device"), str(environment.get("device_name") or "")
    if kind is None:
        return [f"device: {there} there, not known here"]
    if there.lower() == str(kind).lower() or there.lower() in name.lower():
        return []
    shown = "GPU" if there.lower() == "cuda" else "CPU" if there.lower() == "cpu" else there
    here = name if name and kind != "cpu" else {"cpu": "CPU", "cuda": "GPU"}.get(str(kind), str(kind))
    return [f"device: {shown} there, {here} here"] if shown != here else []


def _same(there: object, here: object) -> bool:
    if isinstance(there, int | float) and isinstance(here, int | float):
        return math.isclose(there, here)
    return str(there).lower() == str(here).lower()
