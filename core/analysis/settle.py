"""What would settle a claim: how many replicates, how likely they are to, and the command that adds them.

An interval narrows as t(n)/√n with its number of replicates n, t being Student's quantile at the level of the look (see
`looks`). The first look to come at which an interval of this estimate and this spread would clear the nearest bound is
what a claim needs. By then the estimate itself has moved, so it is a middling guess; `chance` gives the odds, with the
doubt about estimate and spread in them. tests/core/analysis/test_settle.py simulates both.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..experiment.schema import Experiment
from .conditions import Conditions
from .looks import Look, looks
from .regions import stand
from .statistics import Interval, Region, chance_to_clear, would_clear

if TYPE_CHECKING:
    from .verdicts import Verdict

MOST_TIMES = 32  # as many replicates as there are; what needs more is said to be too close to its bound
ENDLESS = 1024


@dataclass(frozen=True)
class Settling:
    """What would settle a claim that is not settled.

    Attributes:
        replicates: of the run in all, at a look; None: there is no such number, and `why_not` says why. For a preview
            the number at which a verdict is given.
        more: how many of them are still to come; None where `replicates` is.
        chance: how likely the claim is settled by then, between 0 and 1; None where it is not known.
        why_not: why more replicates would not settle it; "" where they would.
        is_close: whether that is only because the estimate lies close to the bound, from where it may yet move.
    """

    replicates: int | None = None
    more: int | None = None
    chance: float | None = None
    why_not: str = ""
    is_close: bool = False


def settling(
    steps: Sequence[Interval], region: Region, conditions: Conditions, noun: str, strict: bool = False
) -> Settling:
    """What would settle a claim whose `steps` do not all lie inside `region`, nor any outside.

    Args:
        steps: the intervals of its measure, of which each has to be decided.
        conditions: how far the run is, and for how many replicates it was made.
        noun: what a replicate is called: seed or repeat.
        strict: whether the ends of the region are not accepted.
    """
    judged_at = conditions.look or conditions.next_look
    open_steps = [step for step in steps if step.low is None or stand(step, region, strict) == "across"]
    if prompts := [step.n for step in open_steps if step.scale == "prompts"]:
        return Settling(why_not=f"all {noun}s agree; {prompts[0]} prompts are too few to settle it")
    for look in looks(conditions.planned, conditions.again):
        if look.n > ENDLESS * judged_at.n:
            return Settling(
                why_not=f"too close to the bound for any number of {noun}s to settle", is_close=True
            )
        if look.n > conditions.complete and all(
            would_clear(step, region, look.n, _level(step, conditions, look)) for step in open_steps
        ):
            break
    if look.n > MOST_TIMES * judged_at.n:
        times = look.n // judged_at.n
        why = f"too close to the bound: it would take about {look.n:,} {noun}s, {times} times as many"
        return Settling(why_not=why, is_close=True)
    return _at(look, open_steps, region, conditions)


def next_verdict(steps: Sequence[Interval], region: Region, conditions: Conditions) -> Settling:
    """The look to come, at which a preview becomes a verdict, and how likely that one is settled."""
    return _at(conditions.next_look, steps, region, conditions)


def _at(look: Look, steps: Sequence[Interval], region: Region, conditions: Conditions) -> Settling:
    # Steps of an order share their variants, so the chances of several do not multiply.
    chance = (
        chance_to_clear(steps[0], look.n, region, _level(steps[0], conditions, look))
        if len(steps) == 1
        else None
    )
    return Settling(look.n, look.n - conditions.complete, chance)


def _level(step: Interval, conditions: Conditions, look: Look) -> float:
    """The level of a step at a later look: the steps of an order share what the look may err."""
    judged_at = conditions.look or conditions.next_look
    return 1 - (1 - look.level) * (1 - step.level) / (1 - judged_at.level)


def command(found: Settling, experiment: Experiment, run: str, *options: str) -> str:
    """What to paste so that a run, named by its letters, gets so many replicates; "" where that would not help.

    >>> command(verdict.settling, experiment, "djfg")
    'lab run softmax --resume djfg --repeats 24'
    """
    if found.replicates is None:
        return ""
    count = [f"--{experiment.noun}s", str(found.replicates)]
    return shlex.join(["lab", "run", experiment.name, "--resume", run, *count, *options])


def open_claims(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The claims that more replicates may settle: unclear or a preview, and for no other reason than too few of them."""
    return [
        v
        for v in verdicts
        if v.word in ("unclear", "preview")
        and v.settling is not None
        and (v.settling.more or v.settling.is_close)
    ]


def last_look(conditions: Conditions) -> int:
    """The replicates of the last look of `lab run --until settled`; whoever wants more says how many."""
    return MOST_TIMES * next(looks(conditions.planned)).n


def look_to_come(verdicts: Sequence[Verdict], conditions: Conditions, noun: str) -> Look | str:
    """The sequential rule of `lab run --until settled`: the next look as long as a claim is open; else why not, in words.

    Every look that it leads to is one of `looks`, so whatever stops it, all of them together err as often as one run may.
    """
    now = f"at {conditions.complete} {noun}s"
    if open_ones := open_claims(verdicts):
        if conditions.is_always_busy and conditions.look and all(v.word == "preview" for v in open_ones):
            return f"the machine was busy with something else in every process, {now}: {names(open_ones)}"
        if conditions.next_look.n <= last_look(conditions):
            return conditions.next_look
        return f"still open {now}, the last look: {names(open_ones)}"
    reasons = [
        f"{v.claim}: {v.settling.why_not}"
        for v in verdicts
        if v.word in ("unclear", "preview", "not trained enough") and v.settling
    ]
    if not reasons:
        untested = sum(v.word == "not tested" for v in verdicts)
        return f"nothing is open {now}" + (f"; {untested} could not be tested" if untested else "")
    more = f"; {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return f"more {noun}s would not settle what is open: {'; '.join(reasons[:3])}{more}"


def names(verdicts: Sequence[Verdict]) -> str:
    """The ids of claims, at most four."""
    ids = [verdict.claim for verdict in verdicts]
    return ", ".join(ids if len(ids) <= 4 else [*ids[:3], f"{len(ids) - 3} more"])
