"""One search with one way to choose, at a budget of so many answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal

import numpy as np

from .beam import beam
from .choice import aggregated, best, vote
from .mcts import EXPLORATION, mcts
from .prefixes import Candidates, Counted, P, Propose, Score
from .rebase import BALANCE, rebase
from .sampling import sample

Search = Literal["sample", "greedy", "beam", "rebase", "mcts"]
Choice = Literal["best", "vote", "weighted-vote", "any"]
Aggregate = Literal["last", "product", "least"]


@dataclass(frozen=True)
class Strategy:
    """What is done, and with how much.

    Attributes:
        budget: N, tokens of so many whole answers. A beam has N candidates for a step, with lookahead N / (ahead + 1).
        width: M of a beam and of an expansion of mcts; 0: √N.
        choose: best, by `aggregate` of the scores; vote; weighted-vote, by the same; any: right if one of them is right, the
            ceiling of all choices.
        ahead: k steps of lookahead.
        distinct: whether a beam keeps equal candidates once.
        balance: temperature of rebase. exploration: c of mcts.
    """

    search: Search = "sample"
    budget: int = 16
    width: int = 4
    choose: Choice = "best"
    aggregate: Aggregate = "last"
    ahead: int = 0
    distinct: bool = False
    balance: float = BALANCE
    exploration: float = EXPLORATION

    def __post_init__(self) -> None:
        """Raises ValueError: a budget that the search cannot keep to."""
        if self.budget < 1:
            raise ValueError(f"budget is {self.budget}; a search needs at least one answer")
        if self.search == "beam" and self.candidates < 1:
            raise ValueError(
                f"lookahead {self.ahead} takes {self.ahead + 1} steps for a candidate, and the budget is {self.budget}; it is at least as many"
            )
        if self.search == "beam" and not self.ahead and self.width > self.budget:
            raise ValueError(
                f"M is {self.width} and N is {self.budget}; of N candidates N/M are continued, so M is at most N"
            )

    @property
    def candidates(self) -> int:
        """Of a beam, for a step."""
        return self.budget // (self.ahead + 1)

    @property
    def continuations(self) -> int:
        """M, at most the number of candidates."""
        return min(self.width or max(1, round(self.budget**0.5)), max(self.candidates, 1))

    @property
    def needs_scores(self) -> bool:
        """Whether anything is rated."""
        chosen_by_score = self.choose in ("best", "weighted-vote")
        return chosen_by_score if self.search == "sample" else self.search != "greedy"


@dataclass(frozen=True)
class Sampler(Generic[P]):
    """Where the answers come from.

    Attributes:
        propose: one more step for each prefix. greedy: the likeliest one.
        start: a prefix without a step for each problem.
        answers: of whole answers, what a vote compares; None for one without an answer.
        is_right: of whole answers, (rows,).
        same: what makes two prefixes of a problem the same; None where no two are.
        tokens: of a usual whole answer.
    """

    propose: Propose[P]
    greedy: Propose[P]
    start: P
    answers: Callable[[P], Sequence[Hashable]]
    is_right: Callable[[P], np.ndarray]
    tokens: float
    same: Callable[[P], Sequence[Hashable]] | None = None


@dataclass(frozen=True)
class Found(Generic[P]):
    """What a strategy comes to.

    Attributes:
        candidates: whole answers. chosen: (problems,), the row of each problem's; -1 where none has an answer.
        counted: with the tokens that were taken.
    """

    candidates: Candidates[P]
    chosen: np.ndarray
    counted: Counted[P]


def run(strategy: Strategy, sampler: Sampler[P], score: Score[P]) -> Found[P]:
    """Search, and choose. Raises ScoreError: the scorer gave not one finite number for each prefix."""
    s, start, problems = strategy, sampler.start, len(sampler.start)
    counted = Counted(problems, sampler.propose, score if s.needs_scores else None)
    if s.search == "greedy":
        counted = Counted(problems, sampler.greedy, None)
        candidates = sample(start, counted, 1)
    elif s.search == "beam":
        same = sampler.same if s.distinct else None
        candidates = beam(start, counted, s.candidates, s.continuations, s.ahead, sampler.greedy, same)
    elif s.search == "rebase":
        candidates = rebase(start, counted, s.budget, s.balance)
    elif s.search == "mcts":
        candidates, _ = mcts(
            start, counted, s.budget * sampler.tokens, sampler.tokens, s.continuations, s.exploration
        )
    else:
        candidates = sample(start, counted, s.budget)
    return Found(candidates, choose(s, candidates, sampler, problems), counted)


def choose(strategy: Strategy, candidates: Candidates[P], sampler: Sampler[P], problems: int) -> np.ndarray:
    """(problems,), the row that is given for each problem."""
    problem = candidates.prefixes.problem
    if strategy.choose == "any":
        return best(problem, sampler.is_right(candidates.prefixes).astype(float), problems)
    if strategy.search == "greedy" or strategy.choose == "best":
        score = aggregated(candidates, strategy.aggregate) if strategy.needs_scores else np.zeros(problems)
        return best(problem, score, problems)
    weight = np.ones(len(problem))
    if strategy.choose == "weighted-vote":
        weight = aggregated(candidates, strategy.aggregate)
    return vote(problem, sampler.answers(candidates.prefixes), weight, problems)
