"""A claim, what this run saw of it, and the word for that.

The rule: an interval inside the expected region holds; wholly outside, the claim fails here; otherwise it
is unclear, and the verdict says how many more replicates would settle it. Counted numbers have no interval
and are judged as they are. Sampled ones are judged at the looks of `looks`, on the replicates of that look and
at its level, so that the interval printed with a verdict is the verdict's own: a little wider than the 95%
intervals in tables, which hold for one figure at one time. Before the first look a verdict is a preview.

So is one about times where the clock could not be trusted: the A/A control of its tier is off at its point, or
fewer than six of its processes had a machine that was not busy with something else (the others are left out).

What was claimed for another kind of device is shown with a star and counted neither way; only counted numbers,
the same on every machine, are judged wherever they are seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..experiment.schema import Claim, Expect, Experiment, Scalar
from . import digits
from .course import Course, busy_among, control_doubt, quiet, up_to
from .looks import FIRST_ERROR, last_and_next, more_to_settle
from .measures import Measured, measured
from .regions import stand
from .setting import differences, is_elsewhere, seen_word
from .statistics import FEWEST, LEVEL, Interval, Region, chance_with
from .tables import NotTested, Readings, read

LETTERS = {"counted": "C", "timed": "T", "trained": "R"}
WORDS = (
    "holds", "fails here", "unclear", "preview", "not tested",
    "faster*", "slower*", "higher*", "lower*", "same*", "unclear*",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """One claim judged by one run.

    Attributes:
        claim, says, source, paper, note, threshold: as in the experiment file (`claim` is its id).
        letter: C counted, T timed, R trained here.
        measure, metric, variants: what was measured: "ratio", "time", ("safe", "online").
        place: the point it was measured at.
        unit: of `interval`: the metric's for values, differences and orders; "x" for ratios; else "".
        expected: the accepted region in words, and `region` in numbers (infinite where open).
        interval: what was seen, at the level of the look; None where not tested, and for an order of more than two
            variants.
        here: the figure as it prints, "0.6x [0.6, 0.7]"; "" where not tested.
        word: one of WORDS.
        detail: the rest of the sentence: why not tested, what a preview leans to, what would settle it.
        differences: what differs between the source's setting and this run.
        replicates: seeds or repeats (pairs) that were judged; 0 where not tested, 1 for counted.
        more: how many more of them would settle an unclear claim or turn a preview into a verdict; None:
            unknown, or nothing to settle.
        holds_for: what a sampled verdict is limited to, "these two teachers", where the file says so.
    """

    claim: str
    says: str
    source: str
    paper: float | str | None
    threshold: str
    note: str
    letter: str
    measure: str
    metric: str
    variants: tuple[str, ...]
    unit: str
    expected: str
    region: Region
    word: str
    detail: str = ""
    here: str = ""
    interval: Interval | None = None
    place: tuple[tuple[str, Scalar], ...] = ()
    differences: tuple[str, ...] = ()
    replicates: int = 0
    more: int | None = None
    holds_for: str = ""

    @property
    def estimate(self) -> float | None:
        return None if self.interval is None else self.interval.estimate

    @property
    def settled(self) -> bool:
        return self.word in ("holds", "fails here")


def judge(
    experiment: Experiment,
    values: pd.DataFrame,
    status: pd.DataFrame | None = None,
    curves: pd.DataFrame | None = None,
    environment: Mapping[str, Any] | None = None,
    course: Course | None = None,
) -> list[Verdict]:
    """Judge every claim of an experiment by one run.

    Args:
        experiment: as it ran: preset, overrides and flags applied.
        values, status, curves: see `tables`.
        environment: `device` (cpu or cuda) and, where known, `device_name`; what else it holds is looked up
            for a claim's setting (`threads`, `torch`, …).
        course: how the run went; left out, it was made for the replicates of `experiment`, and undisturbed.
    """
    course = course or Course(experiment.replicates, experiment.replicates)
    look, following = last_and_next(course.planned, course.complete)
    readings = read(experiment, values, status)
    if look is not None:
        readings = up_to(readings, look.n)
        curves = curves if curves is None or curves.empty else curves[curves["replicate"] < look.n]
    level = (look or following).level
    undisturbed = quiet(readings, course)
    verdicts = []
    for claim in experiment.claims:
        try:
            seen = measured(claim.measure, experiment, readings, curves, level)
        except NotTested as why:
            verdicts.append(_verdict(claim, experiment, environment or {}, None, str(why), course))
            continue
        busy, off, left_out = "", "", ""
        if experiment.metrics[claim.measure.metric].kind == "timed":
            seen, busy, left_out = _undisturbed(claim, experiment, readings, undisturbed, seen, course, level)
            off = control_doubt(course, claim.measure, experiment, readings, seen)
        verdicts.append(_verdict(claim, experiment, environment or {}, seen, left_out, course, busy, off))
    return verdicts


def _undisturbed(
    claim: Claim,
    experiment: Experiment,
    readings: Readings,
    undisturbed: Readings,
    seen: Measured,
    course: Course,
    level: float,
) -> tuple[Measured, str, str]:
    """The measure by the processes that had a quiet machine, where they are enough; else by all, and why that is
    no verdict. Last comes what to say of those that were left out."""
    busy, of = busy_among(course, readings, claim.measure, seen)
    if not busy:
        return seen, "", ""
    try:
        rest = measured(claim.measure, experiment, undisturbed, None, level)
    except NotTested:
        rest = None
    if rest is not None and rest.replicates >= FEWEST:
        return rest, "", f"{busy} of {of} processes left out: the machine was busy with something else"
    return seen, f"the machine was busy with something else in {busy} of {of} timing processes", ""


def _verdict(
    claim: Claim,
    experiment: Experiment,
    environment: Mapping[str, Any],
    seen: Measured | None,
    said: str,
    course: Course,
    busy: str = "",
    off: str = "",
) -> Verdict:
    measure, metric = claim.measure, experiment.metrics.get(claim.measure.metric)
    unit = "x" if measure.kind == "ratio" else "" if measure.axis or metric is None else metric.unit
    word, detail, more = (
        ("not tested", "", None)
        if seen is None
        else _word(claim, experiment, environment, seen, course, busy, off)
    )
    holds_for = experiment.holds_for if seen and seen.sampled else ""
    details = (detail, said, holds_for and f"for {holds_for}")
    place = seen.place if seen else {k: v for k, v in measure.where.items() if v not in ("max", "min")}
    return Verdict(
        claim=claim.id, says=claim.says, source=claim.source, paper=claim.paper, threshold=claim.threshold,
        note=claim.note, letter=LETTERS[metric.kind] if metric else "", measure=measure.kind,
        metric=measure.metric, variants=tuple(measure.variants), unit=unit, expected=expected(claim.expect),
        region=_region(claim.expect), word=word, more=more,
        detail="; ".join(part for part in details if part),
        here=_here(measure.kind, unit, seen) if seen else "",
        interval=seen.steps[0] if seen and len(seen.steps) == 1 else None,
        place=tuple(place.items()), replicates=seen.replicates if seen else 0,
        differences=tuple(differences(claim, experiment, place, environment)), holds_for=holds_for,
    )  # fmt: skip


def _word(
    claim: Claim,
    experiment: Experiment,
    environment: Mapping[str, Any],
    seen: Measured,
    course: Course,
    busy: str,
    off: str,
) -> tuple[str, str, int | None]:
    """The word, the rest of the sentence, and how many more replicates it would take."""
    region, strict = _region(claim.expect), claim.expect.order is not None
    if not seen.sampled:
        stands = [stand(step, region, strict) for step in seen.steps]
        return ("holds", "", None) if all(s == "inside" for s in stands) else ("fails here", "", None)
    noun = "seed" if experiment.seeds is not None else "repeat"
    word, elsewhere = _by_interval(seen, region, strict), ""
    if is_elsewhere(claim, environment):
        word, beside = seen_word(claim, experiment.metrics[claim.measure.metric].unit, seen)
        elsewhere = f"claimed for {_device_words(claim)}, seen on {_device_words(environment)}: {beside}"
    look, following = last_and_next(course.planned, course.complete)
    more = None if elsewhere else _more(seen, region, course)
    early, to_come = _too_early(seen, course, noun), following.n - course.complete
    if early or busy or off:
        leaning = word if elsewhere else _by_estimate(seen, region, strict)
        way_out = (
            f"{to_come} more on a quiet one would give a verdict" if busy and not early and not off else ""
        )
        why = "; ".join(part for part in (early, busy, off, way_out, elsewhere) if part)
        return "preview", f"leans to {leaning}: {why}", None if off else max(to_come, more or 0)
    standing = ""
    if look is not None and course.complete > look.n:
        standing = f"judged at {look.n} of {course.complete} {noun}s; the next look is at {following.n}"
    if elsewhere:
        detail, more = elsewhere, None
    elif word == "unclear":
        detail = _unclear(seen, more, noun)
    else:
        detail, more = _agreement(seen, noun), None
    return word, "; ".join(part for part in (detail, standing) if part), more


def _too_early(seen: Measured, course: Course, noun: str) -> str:
    """What is missing for a verdict; empty when its first look is due."""
    look, following = last_and_next(course.planned, course.complete)
    if look is not None:
        if seen.replicates >= FEWEST:
            return ""
        return f"{seen.replicates} of the {FEWEST} {noun}s a verdict takes"
    if seen.replicates < following.n:
        return f"{seen.replicates} of the {following.n} {noun}s a verdict takes"
    return f"other trials of its first {following.n} {noun}s are still to come"


def _region(expect: Expect) -> Region:
    """The accepted values; for an order those of "later minus earlier", where 0 itself is not accepted."""
    if expect.order is not None:
        return (0.0, math.inf) if expect.order == "increasing" else (-math.inf, 0.0)
    return expect.region


def _by_interval(seen: Measured, region: Region, strict: bool) -> str:
    if any(step.low is None for step in seen.steps):
        return "unclear"
    stands = [stand(step, region, strict) for step in seen.steps]
    if all(s == "inside" for s in stands):
        return "holds"
    return "fails here" if {"below", "above"} & {*stands} else "unclear"


def _by_estimate(seen: Measured, region: Region, strict: bool) -> str:
    points = (Interval(step.estimate, None, None, step.n) for step in seen.steps)
    return "holds" if all(stand(point, region, strict) == "inside" for point in points) else "fails here"


def _more(seen: Measured, region: Region, course: Course) -> int | None:
    """Replicates until a look at which every undecided step is decided; None when one of them would stay so."""
    needs = [
        0 if step.low is not None and stand(step, region) != "across"
        else more_to_settle(step, region, course.planned, course.complete)
        for step in seen.steps
    ]  # fmt: skip
    return None if None in needs else max(need for need in needs if need is not None)


def _unclear(seen: Measured, more: int | None, noun: str) -> str:
    prompts = [step.n for step in seen.steps if step.scale == "prompts"]
    if prompts:
        return f"all {seen.replicates} {noun}s agree; {prompts[0]} prompts are too few to settle it"
    if more is None:
        return f"too close to the bound for any number of {noun}s to settle"
    return f"{more} more {noun}{'s would settle' if more > 1 else ' would settle'} it, at this spread"


def _agreement(seen: Measured, noun: str) -> str:
    """A warning where the interval has no width or comes from elsewhere than the replicates."""
    if any(step.scale == "prompts" for step in seen.steps):
        return f"all {seen.replicates} {noun}s agree: the interval is over prompts"
    if any(step.agree for step in seen.steps):
        return f"all {seen.replicates} {noun}s gave the same number"
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


def _here(kind: str, unit: str, seen: Measured) -> str:
    if seen.figures:
        shown = [digits.number(figure.estimate, *figure.printed) for figure in seen.figures]
        signs = [">" if step.estimate < 0 else "<" if step.estimate > 0 else "=" for step in seen.steps]
        words = shown[0] + "".join(f" {sign} {text}" for sign, text in zip(signs, shown[1:], strict=True))
        return f"{words} {unit}" if unit else words
    found = seen.steps[0]
    return digits.format(found.estimate, *found.printed, unit, kind=kind)


def claims_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """The verdicts as claims.csv holds them: one row each, lists joined by "; ", NaN: there is no number."""
    columns = [
        "claim", "says", "source", "paper", "threshold", "letter", "measure", "metric", "variants", "place",
        "expected", "estimate", "low", "high", "level", "unit", "replicates", "here", "word", "detail",
        "more", "holds_for", "differences", "note",
    ]  # fmt: skip
    rows = []
    for verdict in verdicts:
        found = verdict.interval
        row = {name: getattr(verdict, name) for name in columns if hasattr(verdict, name)}
        row |= {
            name: getattr(found, name) if found else None for name in ("estimate", "low", "high", "level")
        }
        row["variants"] = "; ".join(verdict.variants)
        row["place"] = ", ".join(f"{key}={value}" for key, value in verdict.place)
        row["differences"] = "; ".join(verdict.differences)
        rows.append(row)
    table = pd.DataFrame(rows, columns=columns)
    return table.astype(dict.fromkeys(("estimate", "low", "high", "level"), float)).astype({"more": "Int64"})


def tally(verdicts: Iterable[Verdict]) -> str:
    """All verdicts in one line: `4 hold, 2 other device, 1 unclear`."""
    plural = {"holds": "hold", "fails here": "fail here", "preview": "preview"}
    counts = Counter("other device" if verdict.word.endswith("*") else verdict.word for verdict in verdicts)
    order = ("holds", "fails here", "other device", "unclear", "preview", "not tested")
    shown = ((counts[word], word if counts[word] == 1 else plural.get(word, word)) for word in order)
    return ", ".join(f"{count} {word}" for count, word in shown if count)


def by_chance(verdicts: Iterable[Verdict]) -> str:
    """`of 23 sampled claims judged, at most 1.2 false by chance`: what to expect where each may err in 5 of 100 runs.

    Counted numbers do not vary, so they are not among them; empty where nothing sampled was judged.
    """
    judged = sum(1 for v in verdicts if v.letter != "C" and v.word not in ("preview", "not tested"))
    claims = "claim" if judged == 1 else "claims"
    expected_false = f"{judged * (1 - LEVEL):.2g}"
    return f"of {judged} sampled {claims} judged, at most {expected_false} false by chance" if judged else ""


def chances(verdicts: Iterable[Verdict], replicates: int) -> dict[str, float | None]:
    """How likely each sampled claim is to be settled at the first look of a run of so many replicates, from the
    spread that this run saw.

    Claims of counted numbers, of orders with several steps and untested ones are left out; None where the
    spread is unknown.
    """
    return {
        verdict.claim: chance_with(verdict.interval, replicates, verdict.region, 1 - FIRST_ERROR)
        for verdict in verdicts
        if verdict.letter != "C" and verdict.interval is not None
    }
