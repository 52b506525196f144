"""Monte Carlo tree search over steps, guided by the scores of prefixes in place of rollouts.

Selection is PUCT (Silver et al., AlphaZero, arXiv:1712.01815): the child with the largest Q + c·P·√N / (1 + n), with equal
priors P, since children are samples. A leaf is expanded by M sampled steps, each is rated, and the mean of the ratings goes up
the path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic

import numpy as np

from .prefixes import Candidates, Counted, P, at_the_start, joined, last, one_step_more, with_step

EXPLORATION = 0.5
"""c, for scores between 0 and 1."""
REVISITS = 8


PARTS = 32
"""Joining all candidates at every expansion would copy all of them each time."""


@dataclass
class Store(Generic[P]):
    """Candidates that only ever grow in number, in parts."""

    parts: list[Candidates[P]]

    def add(self, more: Candidates[P]) -> int:
        """The row at which they begin."""
        if len(self.parts) >= PARTS:
            self.parts = [joined(self.parts)]
        begin = sum(len(part.scores) for part in self.parts)
        self.parts.append(more)
        return begin

    def all(self) -> Candidates[P]:
        self.parts = [joined(self.parts)]
        return self.parts[0]

    def rows(self, which: np.ndarray) -> Candidates[P]:
        """Some rows, in the order given."""
        ends = np.cumsum([len(part.scores) for part in self.parts])
        of_part = np.searchsorted(ends, which, side="right")
        begins = ends - [len(part.scores) for part in self.parts]
        order = np.argsort(of_part, kind="stable")
        found = joined(
            [self.parts[i].rows(which[of_part == i] - begins[i]) for i in np.unique(of_part).tolist()]
        )
        return found.rows(np.argsort(order, kind="stable"))


@dataclass
class Trees(Generic[P]):
    """One tree for each problem. Nodes are numbered in the order in which they are made, the root is 0.

    Attributes:
        most: nodes that a tree may have.
        child: (problems, nodes), the first of its M children, which are adjacent; -1 where it has not been expanded.
        visits, total: (problems, nodes), how often a path went through a node, and the sum of what it brought.
        ended: (problems, nodes), whether it is a whole answer.
        row: (problems, nodes), where `made` has its prefix.
    """

    start: Candidates[P]
    width: int
    most: int
    child: np.ndarray = field(init=False)
    visits: np.ndarray = field(init=False)
    total: np.ndarray = field(init=False)
    ended: np.ndarray = field(init=False)
    nodes: np.ndarray = field(init=False)
    row: np.ndarray = field(init=False)
    made: Store[P] = field(init=False)

    def __post_init__(self) -> None:
        problems = len(self.start.scores)
        self.child = np.full((problems, self.most), -1, dtype=np.int64)
        self.visits, self.total = np.zeros((2, problems, self.most))
        self.ended = np.zeros((problems, self.most), dtype=bool)
        self.nodes = np.ones(problems, dtype=np.int64)
        self.row = np.zeros((problems, self.most), dtype=np.int64)
        self.row[:, 0] = np.arange(problems)
        self.made = Store([self.start])

    def candidates(self, problem: np.ndarray, node: np.ndarray) -> Candidates[P]:
        """The prefixes of nodes, one of each of the problems given."""
        return self.made.rows(self.row[problem, node])

    def descend(self, problem: np.ndarray, exploration: float) -> list[np.ndarray]:
        """From the root to a leaf by PUCT: the node of each problem at each depth, the last one repeated."""
        path = [np.zeros(len(problem), dtype=np.int64)]
        while True:
            node = path[-1]
            first = self.child[problem, node]
            inner = first >= 0
            if not inner.any():
                return path
            children = first[:, None] + np.arange(self.width)
            p = problem[:, None]
            n = self.visits[p, children]
            value = self.total[p, children] / np.maximum(n, 1)
            bonus = exploration / self.width * np.sqrt(self.visits[problem, node])[:, None] / (1 + n)
            chosen = children[np.arange(len(problem)), (value + bonus).argmax(1)]
            path.append(np.where(inner, chosen, node))

    def expand(self, problem: np.ndarray, node: np.ndarray, children: Candidates[P]) -> None:
        """M children of a node of each problem, those of one problem adjacent, with their ratings as first visits."""
        score, ended = last(children.scores).reshape(-1, self.width), children.prefixes.ended
        first = self.nodes[problem]
        where = first[:, None] + np.arange(self.width)
        self.child[problem, node] = first
        self.visits[problem[:, None], where] = 1
        self.total[problem[:, None], where] = score
        self.ended[problem[:, None], where] = ended.reshape(-1, self.width)
        self.row[problem[:, None], where] = self.made.add(children) + np.arange(where.size).reshape(
            where.shape
        )
        self.nodes[problem] += self.width

    def back_up(self, problem: np.ndarray, path: list[np.ndarray], value: np.ndarray, times: int) -> None:
        """Add what an expansion has brought to all nodes of its path, each once."""
        for depth, node in enumerate(path):
            new = np.ones(len(problem), dtype=bool) if depth == 0 else node != path[depth - 1]
            self.visits[problem[new], node[new]] += times
            self.total[problem[new], node[new]] += times * value[new]


def mcts(
    start: P,
    counted: Counted[P],
    budget: float,
    answer: float,
    width: int = 4,
    exploration: float = EXPLORATION,
    patience: int = REVISITS,
) -> tuple[Candidates[P], Trees[P]]:
    """Whole answers that the search has come by, at least one for each problem, and its trees.

    A problem's search ends when another expansion, and what finishing one of its children would then take, go beyond the
    budget, by the longest step so far: where steps differ in length, the last one may go a little beyond. If no whole answer is in its tree by then, the best child of the last expansion is sampled to the end.

    Args:
        start: a prefix without a step for each problem.
        budget: tokens that may be generated for a problem.
        answer: tokens of a usual answer: what is kept back for finishing.
        width: M, children of an expansion.
        exploration: c.
        patience: M times so many visits in a row to whole answers end a search: it has converged.
    Raises ValueError: the budget is below an answer, or M below 1.
    """
    if width < 1 or budget < answer:
        raise ValueError(
            f"M is {width} and the budget {budget:g} tokens; M is at least 1, the budget one answer, {answer:g}"
        )
    problems = len(start)
    trees = Trees(at_the_start(start), width, 1 + int(budget))  # a node is a token at least
    revisits, stopped = np.zeros(problems, dtype=np.int64), np.zeros(problems, dtype=bool)
    unfinished = np.zeros(problems, dtype=np.int64)  # the node to finish; -1: the tree has a whole answer
    per_step = np.ones(problems)  # the most that a step has taken so far
    while not stopped.all():
        searched = (~stopped).nonzero()[0]
        path = trees.descend(searched, exploration)
        leaf = path[-1]
        whole = trees.ended[searched, leaf]
        again, at = searched[whole], leaf[whole]
        if len(again):
            # The same answer is rated the same, and nothing is generated.
            value = trees.total[again, at] / trees.visits[again, at]
            trees.back_up(again, [node[whole] for node in path], value, 1)
            revisits[again] += 1
            stopped[again[revisits[again] >= patience * width]] = True
        new, at = searched[~whole], leaf[~whole]
        if not len(new):
            continue
        old = trees.candidates(new, at)
        finishing = np.where(unfinished[new] < 0, 0, np.maximum(answer - old.prefixes.tokens, 0))
        left = budget - counted.generated[new]
        fits = left >= width * per_step[new] + np.maximum(finishing - per_step[new], 0)
        stopped[new[~fits]] = True
        if not fits.any():
            continue
        new, at, old = new[fits], at[fits], old.rows(fits.nonzero()[0])
        wide = old.rows(np.repeat(np.arange(len(new)), width))
        more = counted.propose(wide.prefixes)
        children = with_step(wide, more, counted.score(more, wide.prefixes.tokens))
        trees.expand(new, at, children)
        kept = np.isin(searched, new)
        score = last(children.scores).reshape(-1, width)
        trees.back_up(new, [node[kept] for node in path], score.mean(1), width)
        revisits[new] = 0
        has_answer = (unfinished[new] < 0) | children.prefixes.ended.reshape(-1, width).any(1)
        unfinished[new] = np.where(has_answer, -1, trees.child[new, at] + score.argmax(1))
        step = (more.tokens - wide.prefixes.tokens).reshape(-1, width).max(1)
        per_step[new] = np.maximum(per_step[new], step)
    return _whole_answers(trees, counted, unfinished), trees


def _whole_answers(trees: Trees[P], counted: Counted[P], unfinished: np.ndarray) -> Candidates[P]:
    """All whole answers in the trees; where a tree has none, the node `unfinished` (problems,), sampled to the end."""
    made = trees.made.all()
    found = [made.rows(made.prefixes.ended.nonzero()[0])]
    without = (unfinished >= 0).nonzero()[0]
    if len(without):
        finished = trees.candidates(without, unfinished[without])
        while not finished.prefixes.ended.all():
            finished = one_step_more(finished, counted)
        found.append(finished)
    return joined(found)
