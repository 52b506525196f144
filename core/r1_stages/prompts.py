"""Prompts of both kinds in one training by rewards: which are drawn, and what is paid for the answers to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..grpo.rewards import Problem as AnyProblem
from ..grpo.rewards import Reward, StepRewards, WeightedRewards
from ..grpo.tasks import Problem, Split, Task
from .taste import General, said

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator

Judge = Callable[[Sequence[General], Sequence[str]], Sequence[float]]
"""(prompts, answers without tags) to how much each is preferred."""


def both_kinds(reasoning: Task, general: Task, share: float) -> Task:
    """The first task, with general prompts as a share of its problems; no answer to one of these is right."""

    def problems(rng: Generator, count: int, split: Split) -> list[Problem]:
        of_general = round(share * count)
        return [
            *reasoning.problems(rng, count - of_general, split),
            *general.problems(rng, of_general, split),
        ]

    def is_right(problem: Problem, completion: str) -> bool:
        return not isinstance(problem, General) and reasoning.is_right(problem, completion)

    return replace(reasoning, problems=problems, is_right=is_right)


def rewards_of_both(reasoning: StepRewards, preference: Judge | None) -> StepRewards:
    """The rewards of reasoning prompts, 0 for general ones; for these `answers`, 1 for an answer of letters, and
    `preference`, which judges such an answer and gives all others 0.

    A group has one prompt, so that what is 0 for all of it says nothing.
    """

    def of_step(random: np.random.Generator) -> WeightedRewards:
        of_reasoning = reasoning(random)
        rewards = {name: _for_reasoning(reward) for name, reward in of_reasoning.rewards.items()}
        rewards["answers"] = _answers
        if preference is not None:
            rewards["preference"] = judged_by(preference)
        return WeightedRewards(rewards, of_reasoning.weights)

    return of_step


def _for_reasoning(reward: Reward) -> Reward:
    def of(problems: Sequence[AnyProblem], completions: Sequence[str]) -> list[float | None]:
        which = [i for i, problem in enumerate(problems) if not isinstance(problem, General)]
        found = list(reward([problems[i] for i in which], [completions[i] for i in which])) if which else []
        if len(found) != len(which):
            raise ValueError(f"it gave {len(found)} values for {len(which)} completions")
        values: list[float | None] = [0.0] * len(problems)
        for i, value in zip(which, found, strict=True):
            values[i] = value
        return values

    return of


def _answers(problems: Sequence[AnyProblem], completions: Sequence[str]) -> list[float]:
    return [
        float(isinstance(problem, General) and said(completion) is not None)
        for problem, completion in zip(problems, completions, strict=True)
    ]


def judged_by(judge: Judge) -> Callable[[Sequence[AnyProblem], Sequence[str]], list[float]]:
    """A judge of general answers as a reward: 0 for what is none, and for reasoning prompts."""

    def of(problems: Sequence[AnyProblem], completions: Sequence[str]) -> list[float]:
        found: list[tuple[int, General, str]] = []
        for i, (problem, completion) in enumerate(zip(problems, completions, strict=True)):
            if isinstance(problem, General) and (answer := said(completion)) is not None:
                found.append((i, problem, answer))
        values = [0.0] * len(problems)
        scores = judge([problem for _, problem, _ in found], [answer for *_, answer in found])
        for (i, *_), score in zip(found, scores, strict=True):
            values[i] = float(score)
        return values

    return of
