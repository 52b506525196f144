"""Beam search over steps, and with lookahead: Snell et al., arXiv:2408.03314, §5.2.

Of n candidates for the next step the n/M best are kept, and each is continued M times; so until all have ended. Lookahead
rates a candidate by where k further steps would lead, and pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from .prefixes import Candidates, Counted, P, Propose, at_the_start, joined, last, rank, with_step


def beam(
    start: P,
    counted: Counted[P],
    n: int,
    width: int,
    ahead: int = 0,
    greedy: Propose[P] | None = None,
    same: Callable[[P], Sequence[Hashable]] | None = None,
) -> Candidates[P]:
    """The candidates of the last step, at most `n` for each problem, all of them whole answers.

    One that ends keeps its place among the kept for as long as it is rated high enough, and costs nothing more. Where M does
    not divide n, fewer than n candidates are tried: n/M is rounded down.

    Args:
        start: a prefix without a step for each problem.
        n: candidates for each step. With lookahead a candidate takes ahead + 1 steps; the caller lowers n accordingly.
        width: M, how often each kept one is continued.
        ahead: k, further steps by which a candidate is rated.
        greedy: continues by the likeliest step, for these.
        same: what makes two prefixes of a problem the same; then they are kept once. None, as in the paper: all are kept.
    Raises ValueError: n or M is below 1, M is above n, ahead is negative or `greedy` is missing.
    """
    if not 1 <= width <= n:
        raise ValueError(
            f"M is {width} and N is {n}; 1 <= M <= N, since of N candidates N/M are kept and continued M times"
        )
    if ahead < 0 or (ahead and greedy is None):
        raise ValueError(f"ahead is {ahead}; lookahead takes 1 step or more, and a greedy continuation")
    kept = at_the_start(start)
    while True:
        going = ~kept.prefixes.ended
        times = np.where(going, n if kept.scores.shape[1] == 0 else width, 1)
        repeated = kept.rows(np.repeat(np.arange(len(times)), times))
        candidates = _continued(repeated, counted, ahead, greedy)
        if candidates.prefixes.ended.all():
            return candidates
        if same is not None:
            candidates = candidates.rows(_first_of_each(candidates.prefixes, same))
        place = rank(candidates.prefixes.problem, last(candidates.scores))
        kept = candidates.rows((place < max(1, n // width)).nonzero()[0])
        if kept.prefixes.ended.all():
            return kept


def _first_of_each(prefixes: P, same: Callable[[P], Sequence[Hashable]]) -> np.ndarray:
    """The rows that are the first of their problem and their kind."""
    rows: dict[Hashable, int] = {}
    for row, key in enumerate(zip(prefixes.problem.tolist(), same(prefixes), strict=True)):
        rows.setdefault(key, row)
    return np.array(list(rows.values()), dtype=np.int64)


def _continued(
    candidates: Candidates[P], counted: Counted[P], ahead: int, greedy: Propose[P] | None
) -> Candidates[P]:
    """Another step for those that have not ended, rated by where `ahead` more would lead."""
    going = ~candidates.prefixes.ended
    old, done = candidates.rows(going.nonzero()[0]), candidates.rows((~going).nonzero()[0])
    more = counted.propose(old.prefixes)
    seen = more
    for _ in range(ahead):
        assert greedy is not None
        seen = _greedily(seen, counted, greedy)
    return joined([with_step(old, more, counted.score(seen, old.prefixes.tokens)), done])


def _greedily(prefixes: P, counted: Counted[P], greedy: Propose[P]) -> P:
    """Each that has not ended with its likeliest step; the order stays."""
    going = (~prefixes.ended).nonzero()[0]
    more = greedy(prefixes.rows(going))
    np.add.at(counted.generated, more.problem, more.tokens - prefixes.tokens[going])
    where = np.arange(len(prefixes))
    where[going] = len(prefixes) + np.arange(len(going))
    return prefixes.together([more]).rows(where)
