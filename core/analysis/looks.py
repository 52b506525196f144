"""The interim looks at a claim and their levels (group sequential testing).

A run can go on with more replicates, and stopping when the answer suits raises the error rate above that of one
interval: in a simulation, adding replicates as "4 more would settle it" says judged a claim whose truth lies on the
bound wrongly in 15 of 100 runs, not in 5. So the looks are fixed when the run is made: at its planned number of
replicates (at least six), at twice that, at four times, …, each on exactly that many first replicates. The errors of
all looks add up to 5% for each claim, both sides together, whatever `--resume` adds (Bonferroni's inequality; dividing
an error among looks is Lan and DeMets' alpha spending, 1983):

    look         1       2       3       4       …
    replicates   n       2n      4n      8n
    error, %     3.125   0.9375  0.4688  0.2344

The first error, 2·2⁻⁶, is the largest that six replicates which all agree can be held against (see `statistics`);
each later look takes half of what is left. Between two looks the verdict of the last one stands.
tests/core/analysis/test_sequential.py simulates this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .statistics import FEWEST, LEVEL, Interval, Region, would_clear

FIRST_ERROR = 2 * 2.0**-FEWEST


@dataclass(frozen=True)
class Look:
    """The first `n` replicates are judged by intervals of this level."""

    n: int
    level: float


def looks(planned: int) -> Iterator[Look]:
    """All looks at a run that was made for so many replicates, without end."""
    n, error, left = max(planned, FEWEST), FIRST_ERROR, 1 - LEVEL - FIRST_ERROR
    while True:
        yield Look(n, 1 - error)
        n, error, left = 2 * n, left / 2, left / 2


def last_and_next(planned: int, complete: int) -> tuple[Look | None, Look]:
    """The last look that so many complete replicates allow, None before the first; and the one after it."""
    last = None
    for look in looks(planned):
        if look.n > complete:
            return last, look
        last = look
    raise AssertionError("looks have no end")


def more_to_settle(
    interval: Interval, region: Region, planned: int, complete: int, at_most: int = 1000
) -> int | None:
    """How many more replicates until a look at which the interval would clear the nearest bound of `region`.

    The estimate and the spread are taken as they stand, so this is a middling guess: by then about half of all such
    cases, or more, are settled. `chance_with` gives the odds.

    Returns: None when the estimate sits on a bound, when it would take more than `at_most`, or when the
    spread is unknown (one replicate, or a proportion over prompts, which more seeds do not help).
    """
    if interval.spread is None or interval.n < 2:
        return None
    for look in looks(planned):
        if look.n > complete + at_most:
            return None
        if look.n > complete and would_clear(interval, region, look.n, look.level):
            return look.n - complete
    raise AssertionError("looks have no end")
