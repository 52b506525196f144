"""What a search works on: partial answers, and the two functions that continue and rate them, with the tokens they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np


class Prefixes(Protocol):
    """Partial answers to several problems, one a row.

    Attributes:
        problem: (rows,), the number of the problem that each answers.
        tokens: (rows,), of each so far, the prompt not counted.
        ended: (rows,), whether it is a whole answer.
    """

    @property
    def problem(self) -> np.ndarray: ...

    @property
    def tokens(self) -> np.ndarray: ...

    @property
    def ended(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def rows(self, which: np.ndarray) -> Self:
        """Some of them, by index, in that order; a row may come twice."""

    def together(self, others: Sequence[Self]) -> Self:
        """These, and behind them others."""


P = TypeVar("P", bound=Prefixes)
Propose = Callable[[P], P]
"""Each prefix with one more step, sampled; in the same order. Equal prefixes get a step of their own each. Every answer ends
after some steps: a search goes on until all have."""
Score = Callable[[P], Any]
"""A number for each prefix: how good it is. The same prefix is rated once, so that noise is not averaged away."""


class ScoreError(Exception):
    """A scorer gave what is no finite number, or not one for each prefix."""


def checked(
    given: Any, count: int, scorer: str = "the scorer", prefix: Callable[[int], str] = "prefix {}".format
) -> np.ndarray:
    """What a scorer gave for `count` prefixes, (count,).

    Args:
        scorer: its name. prefix: what the i-th prefix is called; both for the message.
    Raises ScoreError: not one finite number for each.
    """
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise ScoreError(f"{scorer} gave what is no number: {error}") from error
    if values.shape != (count,):
        size = "x".join(map(str, values.shape)) or "one"
        raise ScoreError(f"{scorer} gave {size} numbers for {count} prefixes")
    if not (finite := np.isfinite(values)).all():
        i = int((~finite).argmax())
        raise ScoreError(f"{scorer} gave {values[i]} for {prefix(i)}, no finite number")
    return values


@dataclass(frozen=True)
class Counted(Generic[P]):
    """The two functions of a search, and the tokens that they have taken, problem by problem.

    Attributes:
        problems: how many there are.
        score: None for a search that rates nothing.
        generated: (problems,), tokens that were sampled. A step that several prefixes share is sampled once.
        scored: (problems,), tokens that the scorer has read. It reads each token of a shared beginning once.
    """

    problems: int
    proposer: Propose[P]
    scorer: Score[P] | None
    generated: np.ndarray = field(init=False)
    scored: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        for name in ("generated", "scored"):
            object.__setattr__(self, name, np.zeros(self.problems, dtype=np.int64))

    def propose(self, prefixes: P) -> P:
        """One more step for each."""
        more = self.proposer(prefixes)
        np.add.at(self.generated, more.problem, more.tokens - prefixes.tokens)
        return more

    def score(self, prefixes: P, known: np.ndarray) -> np.ndarray:
        """Rate each, (rows,); `known` (rows,) are the tokens of it that the scorer has read before.

        Raises ScoreError: not one finite number for each.
        """
        if self.scorer is None:
            return np.zeros(len(prefixes))
        np.add.at(self.scored, prefixes.problem, prefixes.tokens - known)
        return checked(self.scorer(prefixes), len(prefixes))


@dataclass(frozen=True)
class Candidates(Generic[P]):
    """Prefixes, and what each of their steps was rated.

    Attributes:
        scores: (rows, steps), of the prefix up to each step; NaN behind its last one.
    """

    prefixes: P
    scores: np.ndarray

    def rows(self, which: np.ndarray) -> Candidates[P]:
        return Candidates(self.prefixes.rows(which), self.scores[which])


def joined(parts: Sequence[Candidates[P]]) -> Candidates[P]:
    """Several candidates as one, in their order."""
    width = max(part.scores.shape[1] for part in parts)
    scores = [
        np.pad(part.scores, ((0, 0), (0, width - part.scores.shape[1])), constant_values=np.nan)
        for part in parts
    ]
    first, *others = [part.prefixes for part in parts]
    return Candidates(first.together(others), np.concatenate(scores))


def at_the_start(prefixes: P) -> Candidates[P]:
    """Prefixes without a step."""
    return Candidates(prefixes, np.empty((len(prefixes), 0)))


def one_step_more(candidates: Candidates[P], counted: Counted[P]) -> Candidates[P]:
    """Those that have not ended with another step, which is rated; those that have ended as they are, behind them."""
    going = ~candidates.prefixes.ended
    old = candidates.rows(going.nonzero()[0])
    more = counted.propose(old.prefixes)
    grown = with_step(old, more, counted.score(more, old.prefixes.tokens))
    return joined([grown, candidates.rows((~going).nonzero()[0])])


def with_step(old: Candidates[P], more: P, score: np.ndarray) -> Candidates[P]:
    """Candidates whose prefixes have become `more`, with what that step was rated."""
    last = (~np.isnan(old.scores)).sum(1)
    scores = np.pad(old.scores, ((0, 0), (0, 1)), constant_values=np.nan)
    scores[np.arange(len(more)), last] = score
    return Candidates(more, scores)


def last(scores: np.ndarray) -> np.ndarray:
    """(rows,), of the scores of steps (rows, steps): that of the last step."""
    values: np.ndarray = scores[np.arange(len(scores)), (~np.isnan(scores)).sum(1) - 1]
    return values


def rank(problem: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(rows,): how many of its problem's rows are rated higher than this one; equals in their order."""
    order = np.lexsort((-score, problem))
    sorted_problem = problem[order]
    begins = np.flatnonzero(np.r_[True, sorted_problem[1:] != sorted_problem[:-1]])
    place = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = place
    return ranks
