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
each later look takes half of what is left. Between two looks the verdict of the last one stands. A look at which failed
trials were done again, so that it is taken twice on different figures, counts as two. Simulated in
tests/core/analysis/test_sequential.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .statistics import FEWEST, LEVEL, t_quantile

FIRST_ERROR = 2 * 2.0**-FEWEST


@dataclass(frozen=True)
class Look:
    """The first `n` replicates are judged by intervals of this level."""

    n: int
    level: float


def looks(planned: int, again: Sequence[int] = ()) -> Iterator[Look]:
    """All looks at a run that was made for so many replicates, without end; those of `again` are taken once more."""
    n, error, left = max(planned, FEWEST), FIRST_ERROR, 1 - LEVEL - FIRST_ERROR
    more = Counter(again)
    while True:
        yield Look(n, 1 - error)
        error, left = left / 2, left / 2
        if more[n]:
            more[n] -= 1
        else:
            n *= 2


def last_and_next(planned: int, complete: int, again: Sequence[int] = ()) -> tuple[Look | None, Look]:
    """The last look that so many complete replicates allow, None before the first; and the one after it."""
    last = None
    for look in looks(planned, again):
        if look.n > complete:
            return last, look
        last = look
    raise AssertionError("looks have no end")


def widening(look: Look) -> float:
    """What looking more than once costs: how many times as wide an interval at this look is as one of 95%."""
    return t_quantile(look.n, look.level) / t_quantile(look.n, LEVEL)
