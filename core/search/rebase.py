"""REBASE, reward-balanced search: Wu et al., arXiv:2408.00724, §3.

At each step the answers still to be finished are shared out over all prefixes by the softmax of their scores: a good prefix
is continued often, a bad one perhaps not at all, and none is cut by rank. The paper rounds each share by itself; here they are
rounded so that their sum is the budget.
"""

from __future__ import annotations

import numpy as np

from .prefixes import Candidates, Counted, P, at_the_start, joined, last, one_step_more

BALANCE = 0.1
"""The softmax's temperature; the paper's, Appendix C."""


def rebase(start: P, counted: Counted[P], n: int, balance: float = BALANCE) -> Candidates[P]:
    """`n` whole answers for each problem.

    Args:
        start: a prefix without a step for each problem.
        balance: the softmax's temperature; high, all are continued equally often, low, only the best.
    Raises ValueError: n is below 1, or balance is not above 0.
    """
    if n < 1 or not balance > 0:
        raise ValueError(f"n is {n} and balance is {balance}; n is at least 1 and balance above 0")
    problems = len(start)
    candidates = one_step_more(at_the_start(start.rows(np.repeat(np.arange(problems), n))), counted)
    while not (ended := candidates.prefixes.ended).all():
        going, done = candidates.rows((~ended).nonzero()[0]), candidates.rows(ended.nonzero()[0])
        left = n - np.bincount(done.prefixes.problem, minlength=problems)
        times = shared_out(going.prefixes.problem, last(going.scores) / balance, left)
        again = going.rows(np.repeat(np.arange(len(times)), times))
        candidates = joined([one_step_more(again, counted), done])
    return candidates


def shared_out(problem: np.ndarray, logits: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(rows,): how often each row is continued: `left` (problems,) by the softmax of the logits within each problem.

    Whole numbers that sum to `left`: rounded down, and the rest to those that were rounded down most.
    """
    most = np.full(len(left), -np.inf)
    np.maximum.at(most, problem, logits)
    weight = np.exp(logits - most[problem])
    total = np.bincount(problem, weight, len(left))
    exact = left[problem] * weight / total[problem]
    times: np.ndarray = np.floor(exact + 1e-9).astype(np.int64)
    rest = left - np.bincount(problem, times, len(left)).astype(np.int64)
    order = np.lexsort((times - exact, problem))
    begins = np.searchsorted(problem[order], np.arange(len(left)))
    place = np.arange(len(order)) - begins[problem[order]]
    times[order[place < rest[problem[order]]]] += 1
    return times
