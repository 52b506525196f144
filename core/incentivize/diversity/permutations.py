"""Permutations by their rank, so that millions of them can be told apart, and sequences x₁ f(x₁) x₂ f(x₂) … of one each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def of_rank(ranks: np.ndarray, symbols: int) -> np.ndarray:
    """The permutations of these ranks in lexicographic order, (n,) from 0 to symbols! − 1 to (n, symbols)."""
    left = np.tile(np.arange(symbols), (len(ranks), 1))
    made = np.empty_like(left)
    rest = ranks.astype(np.int64)
    rows = np.arange(len(ranks))
    for place in range(symbols):
        digit, rest = np.divmod(rest, math.factorial(symbols - 1 - place))
        made[:, place] = left[rows, digit]
        # Those behind the taken one move up.
        behind = np.arange(symbols - 1 - place) >= digit[:, None]
        left = np.where(behind, left[:, 1:], left[:, :-1])
    return made


@dataclass(frozen=True)
class Permutations:
    """Held-out ranks, and T others to train on.

    Attributes:
        held_out: ascending. ranks: those to train on; None for all that are not held out.
    """

    symbols: int
    held_out: np.ndarray
    ranks: np.ndarray | None

    @property
    def tasks(self) -> np.ndarray:
        """Those to train on, (T, symbols).

        Raises ValueError: all that are not held out.
        """
        if self.ranks is None:
            raise ValueError("all permutations that are not held out are too many for a list")
        return of_rank(self.ranks, self.symbols)

    def known(self, count: int, random: np.random.Generator) -> np.ndarray:
        """(count, symbols), each drawn from those to train on."""
        if self.ranks is None:
            others = random.integers(math.factorial(self.symbols) - len(self.held_out), size=count)
            return of_rank(_past(others, self.held_out), self.symbols)
        return of_rank(random.choice(self.ranks, count), self.symbols)

    def new(self, count: int, random: np.random.Generator) -> np.ndarray:
        """(count, symbols), each drawn from those held out."""
        return of_rank(random.choice(self.held_out, count), self.symbols)


def split(tasks: int, held_out: int, symbols: int, random: np.random.Generator) -> Permutations:
    """`tasks` distinct permutations to train on, and `held_out` others. With more tasks the fewer are among them.

    Args:
        tasks: as many as there are, or more than are left, means all that are not held out.
    """
    there_are = math.factorial(symbols)
    apart = np.sort(random.choice(there_are, held_out, replace=False))
    left = there_are - held_out
    if tasks >= left:
        return Permutations(symbols, apart, None)
    found: dict[int, None] = {}  # in the order of drawing, so that a longer draw begins with a shorter one
    while len(found) < tasks:
        found.update(dict.fromkeys(random.integers(left, size=64).tolist()))
    return Permutations(symbols, apart, _past(np.array(list(found)[:tasks]), apart))


def _past(numbers: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The number-th rank, from 0, that is not taken; `taken` ascends."""
    # Before the i-th taken rank are taken[i] − i free ones.
    return numbers + np.searchsorted(taken - np.arange(len(taken)), numbers, side="right")


@dataclass(frozen=True)
class Sequences:
    """x₁ … x_L drawn at random, with replacement, and what one permutation makes of them.

    Attributes:
        keys, values: x and f(x), (rows, L). shown: whether an x has stood before in its row, (rows, L).
    """

    keys: np.ndarray
    values: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        equal = self.keys[:, :, None] == self.keys[:, None, :]
        before: np.ndarray = np.tril(equal, -1).any(-1)
        return before

    def ids(self, symbols: int, joint: bool) -> np.ndarray:
        """x₁ f(x₁) … x_L, (rows, 2 L − 1): what stands before the last value. The first `symbols` tokens are keys, the others
        values, or, where `joint`, pairs of both: a value that says what it is of."""
        after = self.keys * symbols + self.values if joint else self.values
        both = np.stack([self.keys, symbols + after], -1).reshape(len(self.keys), -1)
        return both[:, :-1]


def sequences(permutations: np.ndarray, pairs: int, random: np.random.Generator) -> Sequences:
    """One of `pairs` pairs for each permutation, (rows, symbols)."""
    rows, symbols = permutations.shape
    keys = random.integers(symbols, size=(rows, pairs))
    return Sequences(keys, np.take_along_axis(permutations, keys, 1))


def by_elimination(of: Sequences, symbols: int) -> np.ndarray:
    """The chance to guess each value that has not been shown, by Bayes over all permutations: 1 / (those not yet seen); of one
    that has been shown it is 1. (rows, L)."""
    different = np.cumsum(~of.shown, 1) - ~of.shown
    chance: np.ndarray = np.where(of.shown, 1.0, 1 / np.maximum(symbols - different, 1))
    return chance


def by_memory(of: Sequences, tasks: np.ndarray) -> np.ndarray:
    """How often the likeliest value is right by Bayes over a list of permutations, (tasks, symbols), one of which each row
    follows: (rows, L)."""
    made = tasks[:, of.keys]  # (tasks, rows, L)
    fits = np.cumprod(made == of.values, -1, dtype=np.bool_)
    fits = np.concatenate([np.ones_like(fits[..., :1]), fits[..., :-1]], -1)  # before the value is seen
    symbols = tasks.shape[1]
    votes = np.stack([((made == symbol) & fits).sum(0) for symbol in range(symbols)], -1)
    best: np.ndarray = votes.max(-1) / votes.sum(-1)
    return best
