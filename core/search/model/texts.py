"""Partial answers in tokens, and how a language model continues them by a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from ...grpo.tasks import Problem, Task
from ...lm.generation import generate
from ...lm.language_model import LanguageModel

CHUNK = 4096
"""Rows that are generated at a time."""


@dataclass(frozen=True)
class Texts:
    """Partial answers, one a row; see `prefixes.Prefixes`.

    Attributes:
        ids: of each row its tokens, the prompt not among them.
    """

    problem: np.ndarray
    ids: tuple[tuple[int, ...], ...]
    ended: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, which: np.ndarray) -> Self:
        ids = tuple(self.ids[i] for i in which.tolist())
        return replace(self, problem=self.problem[which], ids=ids, ended=self.ended[which])

    def together(self, others: Sequence[Self]) -> Self:
        parts = [self, *others]
        return replace(
            self,
            problem=np.concatenate([part.problem for part in parts]),
            ids=tuple(row for part in parts for row in part.ids),
            ended=np.concatenate([part.ended for part in parts]),
        )


@dataclass(frozen=True)
class Writer:
    """A language model that answers problems step by step.

    Attributes:
        task: in the model's tokens. problems: what is answered.
        longest: tokens of an answer; it is cut off there.
        ends: ids that end a step, those that end an answer among them.
    """

    model: LanguageModel
    task: Task
    problems: Sequence[Problem]
    longest: int
    ends: tuple[int, ...]

    def start(self) -> Texts:
        """A prefix without a step for each problem."""
        count = len(self.problems)
        return Texts(np.arange(count), ((),) * count, np.zeros(count, dtype=bool))

    def step(self, generator: torch.Generator | None) -> Callable[[Texts], Texts]:
        """Continue each prefix up to the end of a step: sampled, or without a generator by the likeliest tokens."""
        return lambda prefixes: self._continued(prefixes, generator, self.ends)

    def whole(self, prefixes: Texts, generator: torch.Generator) -> Texts:
        """Each prefix continued to the end of the answer."""
        going = (~prefixes.ended).nonzero()[0]
        more = self._continued(prefixes.rows(going), generator, self.task.vocabulary.eos_ids)
        where = np.arange(len(prefixes))
        where[going] = len(prefixes) + np.arange(len(going))
        return prefixes.together([more]).rows(where)

    def steps_of(self, ids: Sequence[int]) -> list[int]:
        """Where each step of an answer ends: lengths of the prefixes up to there."""
        found = [i + 1 for i, token in enumerate(ids) if token in self.ends]
        return found if found and found[-1] == len(ids) else [*found, len(ids)]

    def prompts(self, prefixes: Texts) -> list[list[int]]:
        """Each prefix behind its problem, in tokens."""
        encoded = [self.task.vocabulary.encode(problem.prompt) for problem in self.problems]
        return [[*encoded[p], *ids] for p, ids in zip(prefixes.problem.tolist(), prefixes.ids, strict=True)]

    def texts(self, prefixes: Texts) -> list[str]:
        """Each prefix as text, the prompt not in it."""
        return [self.task.vocabulary.decode(ids) for ids in prefixes.ids]

    def problems_of(self, prefixes: Texts) -> list[Problem]:
        """The problem of each row."""
        return [self.problems[p] for p in prefixes.problem.tolist()]

    def _continued(self, prefixes: Texts, generator: torch.Generator | None, ends: Sequence[int]) -> Texts:
        """Equal prefixes are read once for 1, 2, 4, … of them, and each has a continuation of its own."""
        distinct, index = unique(prefixes)
        rows = [(index == i).nonzero()[0] for i in range(len(distinct))]
        if generator is None:
            calls = {1: list(range(len(distinct)))} if len(distinct) else {}
        else:
            times = [len(each) for each in rows]
            powers = [2**k for k in range(max(times, default=0).bit_length())]
            calls = {n: [i for i, t in enumerate(times) if t & n] for n in powers}
        more: dict[int, list[tuple[int, ...]]] = {i: [] for i in range(len(distinct))}
        for n, which in calls.items():
            for part in self._parts(distinct.rows(np.array(which, dtype=np.int64)), n):
                made = self._generated(distinct.rows(np.array(which)[part]), n, generator, ends)
                for i, ids in zip(np.repeat(np.array(which)[part], n).tolist(), made, strict=True):
                    more[i].append(ids)
        grown = list(prefixes.ids)
        for i, each in enumerate(rows):
            for k, row in enumerate(each.tolist()):
                grown[row] = prefixes.ids[row] + more[i][k if generator is not None else 0]
        cut = [ids[: self.longest] for ids in grown]
        stop = set(self.task.vocabulary.eos_ids)
        ended = np.array([len(ids) >= self.longest or ids[-1] in stop for ids in cut], dtype=bool)
        return Texts(prefixes.problem, tuple(cut), ended)

    def _parts(self, prefixes: Texts, times: int) -> list[np.ndarray]:
        """Rows to be generated together: of like length, so that the longest leaves room for what the shortest needs."""
        total, context = [len(row) for row in self.prompts(prefixes)], self.model.config.context
        parts: list[list[int]] = []
        for row in np.argsort(prefixes.tokens, kind="stable").tolist():
            part = parts[-1] if parts else []
            # The first of a part is the shortest; those before this one fitted.
            fits = part and context - total[row] >= self.longest - len(prefixes.ids[part[0]])
            if fits and (len(part) + 1) * times <= CHUNK:
                part.append(row)
            else:
                parts.append([row])
        return [np.array(part) for part in parts]

    def _generated(
        self, prefixes: Texts, times: int, generator: torch.Generator | None, ends: Sequence[int]
    ) -> list[tuple[int, ...]]:
        prompts = self.prompts(prefixes)
        room = self.model.config.context - max(map(len, prompts))
        made = generate(
            self.model,
            prompts,
            num_generations=times,
            max_new_tokens=min(room, self.longest - min(len(ids) for ids in prefixes.ids)),
            eos=ends,
            pad=self.task.vocabulary.pad,
            temperature=0.0 if generator is None else 1.0,
            generator=generator,
        )
        return [
            tuple(ids[:length]) for ids, length in zip(made.ids.tolist(), made.lengths.tolist(), strict=True)
        ]


def unique(prefixes: Texts) -> tuple[Texts, np.ndarray]:
    """The different prefixes, in the order of their first rows, and for each row (rows,) which of them it is."""
    seen: dict[tuple[int, tuple[int, ...]], int] = {}
    first: list[int] = []
    index = np.empty(len(prefixes), dtype=np.int64)
    for row, key in enumerate(zip(prefixes.problem.tolist(), prefixes.ids, strict=True)):
        if key not in seen:
            seen[key] = len(first)
            first.append(row)
        index[row] = seen[key]
    return prefixes.rows(np.array(first, dtype=np.int64)), index


def to_json(prefixes: Texts) -> dict[str, Any]:
    """What `of_json` makes them of again."""
    return {"problem": prefixes.problem.tolist(), "ids": prefixes.ids, "ended": prefixes.ended.tolist()}


def of_json(found: dict[str, Any]) -> Texts:
    """The prefixes of `to_json`."""
    ended = np.array(found["ended"], dtype=bool)
    return Texts(np.array(found["problem"], dtype=np.int64), tuple(map(tuple, found["ids"])), ended)
