"""A tree small enough to list, as prefixes: a path of children's numbers is a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np

Path = tuple[int, ...]


@dataclass(frozen=True)
class Paths:
    """Paths of a tree of `branches` children to a depth of `depth`; a step is a token."""

    problem: np.ndarray
    paths: list[Path]
    depth: int

    @property
    def tokens(self) -> np.ndarray:
        return np.array([len(path) for path in self.paths], dtype=np.int64)

    @property
    def ended(self) -> np.ndarray:
        whole: np.ndarray = self.tokens >= self.depth
        return whole

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, which: np.ndarray) -> Self:
        return type(self)(self.problem[which], [self.paths[i] for i in which.tolist()], self.depth)

    def together(self, others: Sequence[Self]) -> Self:
        parts = [self, *others]
        paths = [path for part in parts for path in part.paths]
        return type(self)(np.concatenate([part.problem for part in parts]), paths, self.depth)


def start(problems: int, depth: int) -> Paths:
    return Paths(np.arange(problems), [()] * problems, depth)


def every_child_in_turn(branches: int):
    """Proposes the children of equal prefixes one after the other, so that `branches` of them are all."""

    def propose(prefixes: Paths) -> Paths:
        seen: Counter[tuple[int, Path]] = Counter()
        paths = []
        for problem, path in zip(prefixes.problem.tolist(), prefixes.paths, strict=True):
            paths.append((*path, seen[problem, path] % branches))
            seen[problem, path] += 1
        return Paths(prefixes.problem, paths, prefixes.depth)

    return propose


def leaves(branches: int, depth: int) -> list[Path]:
    return list(product(range(branches), repeat=depth))
