"""Judges the claims of an experiment by one run.

The rule: an interval inside the expected region holds; wholly outside, the claim fails here; otherwise it
is unclear, and the verdict says how many more replicates would settle it. A counted number is judged without an
interval. Sampled ones are judged at the looks of `looks`, on the replicates of that look and
at its level, so that the interval printed with a verdict is the verdict's own: a little wider than the 95%
intervals in tables, which hold for one figure at one time. Before the first look a verdict is a preview.

A verdict about times is a preview too where the clock cannot be trusted: the A/A control of its tier is off at its
point, or fewer than six of its processes had a machine that was not busy with something else (the others are left out).

A claim whose variants have not reached what it `needs` gets no verdict either, but "not trained enough".

A claim made for another kind of device gets a word with a star, which counts neither way; only counted numbers, the same
on every machine, are judged on every device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..experiment.schema import Claim, Expect, Experiment, Metric
from . import digits
from .conditions import Conditions, busy_among, control_doubt, up_to, without_busy
from .gaps import worse_than
from .measures import Measured, measured
from .needs import shortfall
from .regions import stand
from .setting import differences, is_elsewhere, starred_word
from .settle import Settling, next_verdict, settling
from .statistics import FEWEST, Interval, Region
from .tables import NotTested, Readings, read
from .verdicts import LETTERS, Verdict


def judge(
    experiment: Experiment,
    values: pd.DataFrame,
    status: pd.DataFrame | None = None,
    curves: pd.DataFrame | None = None,
    environment: Mapping[str, Any] | None = None,
    conditions: Conditions | None = None,
) -> list[Verdict]:
    """Judge every claim of an experiment by one run.

    Args:
        experiment: as it ran: preset, overrides and flags applied.
        values, status, curves: see `tables`.
        environment: `device` (cpu or cuda) and, where known, `device_name`; what else it holds is looked up
            for a claim's setting (`threads`, `torch`, …).
        conditions: how far the run is and what disturbed it; left out: it is complete and undisturbed.
    """
    conditions = conditions or Conditions(experiment.replicates, experiment.replicates)
    look = conditions.look
    readings = read(experiment, values, status)
    if look is not None:
        readings = up_to(readings, look.n)
        curves = curves if curves is None or curves.empty else curves[curves["replicate"] < look.n]
    level = (look or conditions.next_look).level
    undisturbed = without_busy(readings, conditions)
    verdicts = []
    for claim in experiment.claims:
        try:
            observed = measured(claim.measure, experiment, readings, curves, level)
            short = shortfall(claim, experiment, readings)
        except NotTested as why:
            verdicts.append(_verdict(claim, experiment, environment or {}, None, str(why), conditions))
            continue
        busy, off, left_out = "", "", ""
        if experiment.metrics[claim.measure.metric].kind == "timed":
            observed, busy, left_out = _undisturbed(
                claim, experiment, readings, undisturbed, observed, conditions, level
            )
            off = control_doubt(conditions, claim.measure, experiment, readings, observed)
        verdicts.append(
            _verdict(claim, experiment, environment or {}, observed, left_out, conditions, busy, off, short)
        )
    return verdicts


def _undisturbed(
    claim: Claim,
    experiment: Experiment,
    readings: Readings,
    undisturbed: Readings,
    observed: Measured,
    conditions: Conditions,
    level: float,
) -> tuple[Measured, str, str]:
    """The measure over the processes on a quiet machine, where they are enough, else over all of them; then why that is no
    verdict, and a sentence about processes that were left out."""
    busy, of = busy_among(conditions, readings, claim.measure, observed)
    if not busy:
        return observed, "", ""
    try:
        rest = measured(claim.measure, experiment, undisturbed, None, level)
    except NotTested:
        rest = None
    if rest is not None and rest.replicates >= FEWEST:
        return rest, "", f"{busy} of {of} processes left out: the machine was busy with something else"
    return observed, f"the machine was busy with something else in {busy} of {of} timing processes", ""


def _verdict(
    claim: Claim,
    experiment: Experiment,
    environment: Mapping[str, Any],
    observed: Measured | None,
    said: str,
    conditions: Conditions,
    busy: str = "",
    off: str = "",
    short: str = "",
) -> Verdict:
    measure, metric = claim.measure, experiment.metrics.get(claim.measure.metric)
    unit = "x" if measure.kind == "ratio" else "" if measure.axis or metric is None else metric.unit
    word, detail, to_settle = (
        ("not tested", "", Settling(why_not=said))
        if observed is None
        else ("not trained enough", short, Settling(why_not=short))
        if short
        else _word(claim, experiment, environment, observed, conditions, busy, off)
    )
    holds_for = experiment.holds_for if observed and observed.sampled and not short else ""
    details = (detail, said, holds_for and f"for {holds_for}")
    point = (
        observed.point if observed else {k: v for k, v in measure.where.items() if v not in ("max", "min")}
    )
    return Verdict(
        claim=claim.id, says=claim.says, source=claim.source, paper=claim.paper, threshold=claim.threshold,
        note=claim.note, letter=LETTERS[metric.kind] if metric else "", measure=measure.kind,
        metric=measure.metric, variants=tuple(measure.variants), unit=unit, expected=expected(claim.expect),
        region=_region(claim.expect), word=word, settling=to_settle,
        detail="; ".join(part for part in details if part),
        here=_here(measure.kind, unit, observed, _below_nothing(experiment, metric)) if observed else "",
        interval=observed.steps[0] if observed and len(observed.steps) == 1 else None,
        point=tuple(point.items()), replicates=observed.replicates if observed else 0,
        differences=tuple(differences(claim, experiment, point, environment)), holds_for=holds_for,
        needs=claim.needs.words if claim.needs else "",
    )  # fmt: skip


def _word(
    claim: Claim,
    experiment: Experiment,
    environment: Mapping[str, Any],
    observed: Measured,
    conditions: Conditions,
    busy: str,
    off: str,
) -> tuple[str, str, Settling | None]:
    """The word, the rest of the sentence, and what would settle the claim."""
    region, strict = _region(claim.expect), claim.expect.order is not None
    if not observed.sampled:
        stands = [stand(step, region, strict) for step in observed.steps]
        return ("holds", "", None) if all(s == "inside" for s in stands) else ("fails here", "", None)
    noun = experiment.noun
    word, elsewhere = _by_interval(observed, region, strict), ""
    if is_elsewhere(claim, environment):
        word, beside = starred_word(claim, experiment.metrics[claim.measure.metric].unit, observed)
        elsewhere = f"claimed for {_device_words(claim)}, seen on {_device_words(environment)}: {beside}"
    look, following = conditions.look, conditions.next_look
    early, to_come = _too_early(observed, conditions, noun), following.n - conditions.complete
    if early or busy or off:
        leaning = word if elsewhere else _by_estimate(observed, region, strict)
        way_out = (
            f"{to_come} more on a quiet one would give a verdict" if busy and not early and not off else ""
        )
        why = "; ".join(part for part in (early, busy, off, way_out, elsewhere) if part)
        found = Settling(why_not=off) if off else next_verdict(observed.steps, region, conditions)
        return "preview", f"leans to {leaning}: {why}", found
    judged_at = ""
    if look is not None and conditions.complete > look.n:
        judged_at = f"judged at {look.n} of {conditions.complete} {noun}s; the next look is at {following.n}"
    to_settle = None
    if elsewhere:
        detail, to_settle = elsewhere, Settling(why_not=f"claimed for {_device_words(claim)}")
    elif word == "unclear":
        to_settle = settling(observed.steps, region, conditions, noun, strict)
        detail = _unclear(to_settle, noun)
    else:
        detail = _agreement(observed, noun)
    return word, "; ".join(part for part in (detail, judged_at) if part), to_settle


def _too_early(observed: Measured, conditions: Conditions, noun: str) -> str:
    """What a first verdict still needs; empty once its first look is due."""
    if conditions.look is not None:
        if observed.replicates >= FEWEST:
            return ""
        return f"{observed.replicates} of the {FEWEST} {noun}s a verdict takes"
    first = conditions.next_look.n
    if observed.replicates < first:
        return f"{observed.replicates} of the {first} {noun}s a verdict takes"
    return f"other trials of its first {first} {noun}s are still to come"


def _region(expect: Expect) -> Region:
    """The accepted values; for an order those of "later minus earlier", where 0 itself is not accepted."""
    if expect.order is not None:
        return (0.0, math.inf) if expect.order == "increasing" else (-math.inf, 0.0)
    return expect.region


def _by_interval(observed: Measured, region: Region, strict: bool) -> str:
    if any(step.low is None for step in observed.steps):
        return "unclear"
    stands = [stand(step, region, strict) for step in observed.steps]
    if all(s == "inside" for s in stands):
        return "holds"
    return "fails here" if {"below", "above"} & {*stands} else "unclear"


def _by_estimate(observed: Measured, region: Region, strict: bool) -> str:
    points = (Interval(step.estimate, None, None, step.n) for step in observed.steps)
    return "holds" if all(stand(point, region, strict) == "inside" for point in points) else "fails here"


def _unclear(found: Settling, noun: str) -> str:
    if found.more is None:
        return found.why_not
    return f"{found.more} more {noun}{'s would settle' if found.more > 1 else ' would settle'} it, at this spread"


def _agreement(observed: Measured, noun: str) -> str:
    """A warning where the interval has no width or comes from elsewhere than the replicates."""
    if any(step.scale == "prompts" for step in observed.steps):
        return f"all {observed.replicates} {noun}s agree: the interval is over prompts"
    if any(step.agree for step in observed.steps):
        return f"all {observed.replicates} {noun}s gave the same number"
    return ""


def _device_words(holder: Claim | Mapping[str, Any]) -> str:
    device = str(holder.setting["device"] if isinstance(holder, Claim) else holder["device"])
    return {"cuda": "a GPU", "cpu": "a CPU"}.get(device.lower(), device)


def expected(expect: Expect) -> str:
    """The accepted region in words: `at least 1.05`, `between 1.3 and 1.36`, `increasing`."""
    if expect.order is not None:
        return expect.order
    low, high = expect.region
    if math.isfinite(low) and math.isfinite(high):
        return f"exactly {low:.10g}" if low == high else f"between {low:.10g} and {high:.10g}"
    return f"at least {low:.10g}" if math.isfinite(low) else f"at most {high:.10g}"


def _below_nothing(experiment: Experiment, metric: Metric | None) -> str:
    return worse_than(experiment, metric.gap) if metric and metric.gap else ""


def _here(kind: str, unit: str, observed: Measured, below_nothing: str) -> str:
    """The figure in words; `below_nothing`: what a share reads that lies wholly below 0, where it is a gap's."""
    if observed.figures:
        shown = [digits.number(figure.estimate, *figure.printed) for figure in observed.figures]
        signs = [">" if step.estimate < 0 else "<" if step.estimate > 0 else "=" for step in observed.steps]
        words = shown[0] + "".join(f" {sign} {text}" for sign, text in zip(signs, shown[1:], strict=True))
        return f"{words} {unit}" if unit else words
    found = observed.steps[0]
    if below_nothing and kind == "value" and (found.estimate if found.high is None else found.high) < 0:
        return below_nothing
    return digits.format(found.estimate, *found.printed, unit, kind=kind)
