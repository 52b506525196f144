"""Whole answers, each sampled on its own: what a vote and best-of-N choose from."""

from __future__ import annotations

import numpy as np

from .prefixes import Candidates, Counted, P, at_the_start, one_step_more


def sample(start: P, counted: Counted[P], n: int) -> Candidates[P]:
    """`n` answers to each problem.

    Args:
        start: a prefix without a step for each problem.
    Raises ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; a search needs at least one answer")
    candidates = at_the_start(start.rows(np.repeat(np.arange(len(start)), n)))
    while not candidates.prefixes.ended.all():
        candidates = one_step_more(candidates, counted)
    return candidates
