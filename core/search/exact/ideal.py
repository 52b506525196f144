"""The exact tier: a sampler that knows the rules but for random slips, and a rating that is right but for two dials.

A problem is a chain of steps over m values. A step is wrong with chance ε, and then off by 1 to m−1; later steps go on from
there, so that a wrong trace may come back to the right answer. A prefix is rated by its steps (1 while all are right, 0 from
the first wrong one on: what a process reward is trained on) or by its value, the chance that it ends in the right answer.
Two dials spoil the rating:

    noise σ   random, anew for each prefix
    trap ρ    of the steps with which a right trace goes wrong, this share is of a kind that is rated better than anything
              right, and so is everything that follows
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np

Rates = Literal["steps", "value"]
TRAP = 2.0
"""Its rating; right and wrong are at most 1 and at least 0."""
STEEPNESS = 4.0
"""A rating z becomes a score between 0 and 1, 1 / (1 + exp(−4 (z − 1/2))): right 0.88, wrong 0.12, a trap 0.998. The order
stays, and products of scores have a meaning."""


@dataclass(frozen=True)
class Chains:
    """Partial answers, one a row; a step is a token.

    Attributes:
        steps: of a whole answer.
        off: (rows,), how far the value is from the right one; 0 is right.
        sound: (rows,), whether no step has been wrong.
        trapped: (rows,), whether one was a trap.
    """

    problem: np.ndarray
    tokens: np.ndarray
    off: np.ndarray
    sound: np.ndarray
    trapped: np.ndarray
    steps: int

    @property
    def ended(self) -> np.ndarray:
        whole: np.ndarray = self.tokens >= self.steps
        return whole

    def __len__(self) -> int:
        return len(self.problem)

    def rows(self, which: np.ndarray) -> Self:
        arrays: dict[str, Any] = {name: getattr(self, name)[which] for name in ARRAYS}
        return replace(self, **arrays)

    def together(self, others: Sequence[Self]) -> Self:
        parts = [self, *others]
        arrays: dict[str, Any] = {n: np.concatenate([getattr(each, n) for each in parts]) for n in ARRAYS}
        return replace(self, **arrays)


ARRAYS = tuple(field.name for field in fields(Chains) if field.name != "steps")


@dataclass(frozen=True)
class Ideal:
    """Sampler and rating.

    Attributes:
        classes: m, the values.
        slip: ε, the chance that a step is wrong.
        noise: σ, standard deviation of the rating's noise.
        trap: ρ, the share of first wrong steps that are rated better than right ones.
        rates: what is rated.
    """

    classes: int
    slip: float
    noise: float
    trap: float
    rates: Rates
    random: np.random.Generator

    def start(self, problems: int, steps: int) -> Chains:
        """A prefix without a step for each problem."""
        nothing = np.zeros(problems, dtype=np.int64)
        sound = np.ones(problems, dtype=bool)
        return Chains(np.arange(problems), nothing, nothing, sound, ~sound, steps)

    def propose(self, prefixes: Chains) -> Chains:
        """One more step for each."""
        count = len(prefixes)
        slips = self.random.random(count) < self.slip
        by = self.random.integers(1, self.classes, count)
        trapped = prefixes.sound & slips & (self.random.random(count) < self.trap)
        return Chains(
            prefixes.problem,
            prefixes.tokens + 1,
            (prefixes.off + slips * by) % self.classes,
            prefixes.sound & ~slips,
            prefixes.trapped | trapped,
            prefixes.steps,
        )

    def greedy(self, prefixes: Chains) -> Chains:
        """One more step for each, the likeliest: a right one, as long as ε is below (m − 1)/m."""
        return replace(prefixes, tokens=prefixes.tokens + 1)

    def value(self, prefixes: Chains) -> np.ndarray:
        """The chance that it ends in the right answer, (rows,).

        A step leaves the value as it is with 1 − ε and moves it to each other one with ε/(m−1). So after t more steps it is
        where it was with 1/m + (1 − 1/m)·λ^t, λ = 1 − ε·m/(m−1), and at any other one with 1/m − λ^t/m.
        """
        m = self.classes
        decay = (1 - self.slip * m / (m - 1)) ** (prefixes.steps - prefixes.tokens)
        chance: np.ndarray = (1 + np.where(prefixes.off == 0, m - 1, -1) * decay) / m
        return chance

    def score(self, prefixes: Chains) -> np.ndarray:
        """A score between 0 and 1 for each."""
        truth = prefixes.sound.astype(float) if self.rates == "steps" else self.value(prefixes)
        rating = np.where(prefixes.trapped, TRAP, truth)
        if self.noise:
            rating = rating + self.noise * self.random.standard_normal(len(prefixes))
        score: np.ndarray = 1 / (1 + np.exp(-STEEPNESS * (rating - 0.5)))
        return score
