"""The search for one problem's answer, as the report draws it: each step's rating beside its true value."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ...trial import SearchTree, TreeStep
from ..prefixes import Propose, Score
from .answers import is_right
from .texts import Texts, Writer

ROLLOUTS = 32
"""Answers by which a prefix's value, the chance to end right, is estimated."""
Ids = tuple[int, ...]


@dataclass
class Seen:
    """The prefixes of the first problem that a search has rated, by way of the two functions that it is given.

    Attributes:
        tokens: that it has generated.
        scores: of each prefix. spent: `tokens` by then. times: how often each was sampled.
    """

    tokens: int = 0
    scores: dict[Ids, float] = field(default_factory=dict)
    spent: dict[Ids, int] = field(default_factory=dict)
    times: dict[Ids, int] = field(default_factory=dict)

    def propose(self, propose: Propose[Texts]) -> Propose[Texts]:
        def proposed(prefixes: Texts) -> Texts:
            more = propose(prefixes)
            self.tokens += int((more.tokens - prefixes.tokens)[more.problem == 0].sum())
            return more

        return proposed

    def score(self, score: Score[Texts]) -> Score[Texts]:
        def scored(prefixes: Texts) -> np.ndarray:
            scores = np.asarray(score(prefixes))
            for row in (prefixes.problem == 0).nonzero()[0].tolist():
                ids = prefixes.ids[row]
                self.scores.setdefault(ids, float(scores[row]))
                self.spent.setdefault(ids, self.tokens)
                self.times[ids] = self.times.get(ids, 0) + 1
            return scores

        return scored


def tree(seen: Seen, chosen: Ids, title: str, writer: Writer, generator: torch.Generator) -> SearchTree:
    """The tree of all prefixes that were rated, at a quarter, half and all of the tokens.

    Args:
        chosen: the answer that was given, one of these.
    """
    number = {ids: i for i, ids in enumerate(seen.scores)}
    values = _values(list(number), writer, generator)
    steps = []
    for ids, value in zip(number, values, strict=True):
        before = ids[: [0, *writer.steps_of(ids)][-2]]
        steps.append(
            TreeStep(
                parent=number.get(before, -1),
                text=writer.task.vocabulary.decode(ids[len(before) :]).removesuffix("<eos>"),
                score=seen.scores[ids],
                value=value,
                spent=seen.spent[ids],
                times=seen.times[ids],
            )
        )
    most = max(seen.spent.values())
    return SearchTree(
        title=title,
        problem=writer.problems[0].prompt,
        steps=tuple(steps),
        chosen=number[chosen],
        budgets=(most // 4, most // 2, most),
    )


def _values(prefixes: list[Ids], writer: Writer, generator: torch.Generator) -> list[float]:
    """The share of rollouts from each prefix that end right."""
    repeated = tuple(ids for ids in prefixes for _ in range(ROLLOUTS))
    stop = set(writer.task.vocabulary.eos_ids)
    ended = np.array([len(ids) >= writer.longest or ids[-1] in stop for ids in repeated], dtype=bool)
    start = Texts(np.zeros(len(repeated), dtype=np.int64), repeated, ended)
    right = is_right(writer, writer.whole(start, generator))
    return [float(x) for x in right.reshape(len(prefixes), ROLLOUTS).mean(1)]
