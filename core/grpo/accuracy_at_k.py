"""Over many samples of each problem: is one of k right (pass@k), is their vote right (maj@k, cons@k)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol


class Table(Protocol):
    """A tensor or an array, of two dimensions."""

    def tolist(self) -> Any: ...


def pass_at_k(right: Table | Sequence[Sequence[bool]], k: int) -> float:
    """Unbiased estimate of the chance that at least one of k samples is right: 1 − C(n−c, k)/C(n, k), mean over problems.

    Chen et al., "Evaluating Large Language Models Trained on Code" (arXiv:2107.03374), eq. 1, in whole numbers, so that
    nothing overflows or cancels. 1 − (1 − c/n)^k is biased.

    Args:
        right: (problems, samples), whether each of n samples is right; c is the number of right ones.
        k: 1 to n.
    Raises ValueError: no problems, or k outside 1 to n.
    """
    rows: Sequence[Sequence[bool]] = right if isinstance(right, Sequence) else right.tolist()
    if not rows:
        raise ValueError("pass@k of no problems")
    counts = Counter((len(row), sum(map(bool, row))) for row in rows)
    total = 0.0
    for (n, c), problems in counts.items():
        if not 1 <= k <= n:
            raise ValueError(f"pass@k needs k from 1 to the {n} samples of a problem, not {k}")
        all_of_them = math.comb(n, k)
        total += problems * ((all_of_them - math.comb(n - c, k)) / all_of_them)
    return total / len(rows)


def majority(answers: Sequence[Sequence[str | None]], truth: Sequence[str]) -> float:
    """The share of problems whose most frequent answer is right: maj@k, "cons@k" in DeepSeek-R1 (arXiv:2501.12948).

    A right answer that ties with two others counts a third, the expectation of a random choice among the three.

    Args:
        answers: (problems, k), the answers of the samples; None does not vote.
        truth: the right answer of each problem.
    Raises ValueError: no problems, or not one truth for each.
    """
    if len(answers) != len(truth):
        raise ValueError(f"answers to {len(answers)} problems, but {len(truth)} right answers")
    if not truth:
        raise ValueError("a majority over no problems")
    return math.fsum(_share(*each) for each in zip(answers, truth, strict=True)) / len(truth)


def winners(answers: Sequence[str | None]) -> list[str]:
    """The most frequent answers, in order of appearance; none where nobody votes."""
    votes = Counter(answer for answer in answers if answer is not None)
    most = max(votes.values(), default=0)
    return [answer for answer, n in votes.items() if n == most]


def _share(answers: Sequence[str | None], truth: str) -> float:
    found = winners(answers)
    return 1 / len(found) if truth in found else 0.0
