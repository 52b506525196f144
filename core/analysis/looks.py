"""The interim looks at a claim and their levels (group sequential testing): going on with a run cannot buy a verdict.

A run can go on with more replicates, and whoever goes on until the answer suits is wrong more often than an interval
says: simulated, following "4 more would settle it" to the letter judged a claim whose truth lies on the bound falsely
in 15 of 100 runs, not in 5. So verdicts are given at looks that are fixed when the run is made: at its planned number
of replicates (never below six), at twice that, at four times, …, each on exactly the first so many. What the looks
may err adds up to 5% for each claim, both sides together, whatever is done with `--resume` (Bonferroni's inequality;
to divide an error among looks is Lan and DeMets' alpha spending, 1983):

    look         1       2       3       4       …
    replicates   n       2n      4n      8n
    error, %     3.125   0.9375  0.4688  0.2344

The first error, 2·2⁻⁶, is the largest that six replicates which all agree can be held against (see `statistics`);
each later look takes half of what is left. Between two looks the verdict of the last one stands. Simulated in
tests/core/analysis/test_sequential.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .statistics import FEWEST, LEVEL

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
