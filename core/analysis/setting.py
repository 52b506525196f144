"""The setting of the source beside the setting of the run: what differs, and the starred words for another device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..experiment.possible import TIMES
from ..experiment.schema import Claim, Experiment, Scalar
from .measures import Measured
from .regions import stand
from .statistics import Interval, Region

# Words in a setting's device that mean no CUDA GPU; any other name (V100, A100, RTX 4090, …) means one.
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


def starred_word(claim: Claim, unit: str, measured: Measured) -> tuple[str, str]:
    """The word for a claim about another kind of device, and the same as a sentence.

    The word depends on where the interval lies relative to the expected region:

    - inside: the direction found. A ratio of times is "faster*" or "slower*", and the subject is the variant that the
      claim calls faster: `over` where the region lies at 1 or above, else `of`. Other ratios and differences are
      "higher*" or "lower*", of `of`; an order, of the later variant beside the earlier. "same*" where both region and
      interval contain "no difference", and for a value, an exponent or a trend as claimed.
    - outside: "same*" where the interval contains "no difference"; "slower*" and the like where the direction is the
      opposite; "lower*" or "higher*" than claimed where the direction is right and the size is not, as 1.05 is for
      "at least 1.7".
    - across an edge of it: "unclear*".
    """
    measure, found = claim.measure, measured.steps[0]
    if measure.kind == "order":
        sides = {_side(step, (0.0, 0.0)) for step in measured.steps}
        level = _LEVELS[sides.pop() if len(sides) == 1 else 0]
        sentence = f"{measure.metric} of each is {level} than before"
        return f"{level}*", "no steady order seen" if level == "same" else sentence
    region, beside = claim.expect.region, _side(found, claim.expect.region)
    across = stand(found, region) == "across"
    if measure.kind not in ("ratio", "difference"):
        if across:
            return "unclear*", "unclear whether within what is claimed"
        level = _LEVELS[beside]
        return f"{level}*", "within what is claimed" if level == "same" else f"{level} than claimed"
    of, over = measure.variants
    none = 1.0 if measure.kind == "ratio" else 0.0
    side = _side(found, (none, none))
    if measure.kind == "ratio" and unit in TIMES:
        if region[0] >= 1:
            direction, words = _PACES[-side], f"{over} is {_PACES[-side]} than {of}"
        else:
            direction, words = _PACES[side], f"{of} is {_PACES[side]} than {over}"
    else:
        direction, words = _LEVELS[side], f"{measure.metric} of {of} is {_LEVELS[side]} than that of {over}"
    if side == 0:
        words = f"no difference seen between {of} and {over}"
    if across:
        return "unclear*", f"{words}; unclear whether as claimed"
    claimed = _side(Interval(none, None, None, 1), region)  # where "no difference" lies beside the region
    if beside and claimed and side == -claimed:
        short = "less than" if beside == claimed else "beyond what is"
        return f"{_LEVELS[beside]}*", f"{words}, but {short} claimed"
    return f"{direction}*", words


_LEVELS = {-1: "lower", 0: "same", 1: "higher"}
_PACES = {-1: "faster", 0: "same", 1: "slower"}  # of a time: less is faster


def _side(found: Interval, region: Region) -> int:
    """-1 wholly below, 1 wholly above, 0 neither."""
    return {"below": -1, "above": 1}.get(stand(found, region), 0)


def differences(
    claim: Claim, experiment: Experiment, point: Mapping[str, Scalar], environment: Mapping[str, Any]
) -> list[str]:
    """What differs between the claim's setting and this run: `["device: V100 there, CPU here", "rows: 4000
    there, 64 here"]`. A value of this run comes from the point, else the measured variant, `params` or the environment;
    without any it is "not known here"."""
    listed = []
    variant = experiment.variants.get(claim.measure.of[0])
    here = {**environment, **experiment.params, **(variant.params if variant else {}), **point}
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
