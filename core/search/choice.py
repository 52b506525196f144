"""Which of several whole answers is given: the most frequent one, or the best rated one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from .prefixes import Candidates, P, last, rank

AGGREGATES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "last": last,
    "product": lambda scores: np.nanprod(scores, 1),
    "least": lambda scores: np.nanmin(scores, 1),
}
"""From the scores of steps (rows, steps), NaN behind the last, to one for each answer: that of the last step (Snell et al.,
arXiv:2408.03314, §5.1), the product of all (Lightman et al., arXiv:2305.20050, §2.6), or the least."""


def aggregated(candidates: Candidates[P], aggregate: str) -> np.ndarray:
    """One score for each candidate, (rows,). Raises ValueError: there is no such aggregate."""
    if aggregate not in AGGREGATES:
        raise ValueError(f"no aggregate {aggregate}; there are {', '.join(AGGREGATES)}")
    return AGGREGATES[aggregate](candidates.scores)


def best(problem: np.ndarray, score: np.ndarray, problems: int) -> np.ndarray:
    """(problems,): the row that is rated highest, the first of equals; -1 where a problem has none."""
    chosen = np.full(problems, -1)
    first = (rank(problem, score) == 0).nonzero()[0]
    chosen[problem[first]] = first
    return chosen


def vote(problem: np.ndarray, answers: Sequence[Hashable], weight: np.ndarray, problems: int) -> np.ndarray:
    """(problems,): a row whose answer has the largest sum of weights, the first such row; -1 where no row has an answer.

    Args:
        answers: of each row; None for one without, which has no vote.
        weight: (rows,), not negative; ones for a plain vote.
    """
    numbers: dict[Hashable, int] = {}
    code = np.array(
        [-1 if a is None else numbers.setdefault(a, len(numbers)) for a in answers], dtype=np.int64
    )
    counts = (code >= 0).nonzero()[0]
    sums = np.full((problems, max(len(numbers), 1)), -1.0)
    sums[problem[counts], code[counts]] = 0.0
    np.add.at(sums, (problem[counts], code[counts]), weight[counts])
    score = np.full(len(code), -np.inf)
    score[counts] = sums[problem[counts], code[counts]]
    chosen = best(problem, score, problems)
    return np.where((chosen >= 0) & (score[chosen] > -np.inf), chosen, -1)
