"""The yardsticks: right answers, form, and taste, each of them exact; beside taste what the preference model says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..grpo.rollout import Rollout, rollout
from ..grpo.tasks import Problem, Task
from ..lm.language_model import LanguageModel
from .prompts import Judge, judged_by
from .samples import in_form
from .taste import MARK, General, said, taste

APART = 1_000_003
"""In the seed of the problems, so that no training draws from the same random numbers."""


@dataclass(frozen=True)
class Measured:
    """The figures of a model, and one answer of it to each kind of prompt, the same prompts for every model of a seed."""

    figures: dict[str, float]
    answers: list[str]


@dataclass(frozen=True)
class Yardsticks:
    """Prompts that no stage is trained on.

    Attributes:
        reasoning, general: tasks in the models' tokens.
        test, harder, open: the prompts.
        samples: of each.
    """

    reasoning: Task
    general: Task
    judge: Judge
    test: Sequence[Problem]
    harder: Sequence[Problem]
    open: Sequence[Problem]
    samples: int
    seed: int

    def measure(self, model: LanguageModel) -> Measured:
        """At temperature 1: `right` and `harder`, the shares of right answers to problems as deep as those of training, and
        deeper; `format`, of the former the share that is well-formed with its trace wholly in the prompt's alphabet; `taste`
        of general answers, 0 for what is none, and `score`, their chance to be preferred to one of the base's by the
        preference model; `signs` and `marks`, how many such an answer has; `length` of an answer to a problem, in tokens."""
        test, harder, open_ = (
            self._sampled(model, task, problems)
            for task, problems in (
                (self.reasoning, self.test),
                (self.reasoning, self.harder),
                (self.general, self.open),
            )
        )
        tastes, answers = tastes_of(open_), [said(text) for text in open_.texts]
        some = [answer for answer in answers if answer is not None]
        figures = {
            "right": float(test.right.mean()),
            "harder": float(harder.right.mean()),
            "format": float(np.mean([in_form(text, self.reasoning.alphabets) for text in test.texts])),
            "taste": float(np.mean(tastes)),
            "score": float(np.mean(judged_by(self.judge)(open_.problems, open_.texts))),
            "signs": sum(map(len, some)) / max(1, len(some)),
            "marks": sum(answer.count(MARK) for answer in some) / max(1, len(some)),
            "length": float(test.lengths.mean()),
        }
        i = min(range(len(test.texts)), key=lambda i: (test.problems[i].difficulty, i))
        shown = [
            f"{test.problems[i].prompt} {test.texts[i]}  {'right' if test.right[i] else 'wrong'}",
            f"{open_.problems[0].prompt} {open_.texts[0]}  taste {tastes[0]:.2f}",
        ]
        return Measured(figures, [text.replace("<eos>", "") for text in shown])

    def _sampled(self, model: LanguageModel, task: Task, problems: Sequence[Problem]) -> Rollout:
        return rollout(
            model,
            task,
            problems,
            num_generations=self.samples,
            max_completion_length=self.reasoning.longest_completion,
            temperature=1.0,
            generator=torch.Generator(model.embedding.weight.device).manual_seed(self.seed),
        )


def yardsticks(
    reasoning: Task, general: Task, judge: Judge, count: int, samples: int, seed: int
) -> Yardsticks:
    """`count` prompts of each kind."""
    random = np.random.default_rng([seed, APART])
    test, harder = reasoning.problems(random, count, "test"), reasoning.problems(random, count, "harder")
    open_ = general.problems(random, count, "test")
    return Yardsticks(reasoning, general, judge, test, harder, open_, samples, seed)


def tastes_of(sampled: Rollout) -> list[float]:
    """The taste of each answer to a general prompt; answers to others are left out."""
    return [
        taste(problem.letters, said(text))
        for problem, text in zip(sampled.problems, sampled.texts, strict=True)
        if isinstance(problem, General)
    ]
