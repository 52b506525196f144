"""The problems that a training is judged by, before it, between and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..lm.language_model import LanguageModel
from ..trial import Context
from .evaluation import evaluate
from .rollout import Rollout
from .tasks import Mixture, Problem, Split, Task, predicted_accuracy

APART = 1_000_003
"""Sets the random numbers of held-out problems apart from those of any step."""


@dataclass(frozen=True)
class EvalSet:
    """The same problems, never trained on, and the same seed at every evaluation and for all variants."""

    task: Task
    problems: Mapping[Split, Sequence[Problem]]
    samples: int
    longest: int
    seed: int
    reference: LanguageModel | None = None

    def figures(self, model: LanguageModel, split: Split) -> tuple[dict[str, float], Rollout]:
        return evaluate(
            model,
            self.task,
            self.problems[split],
            samples=self.samples,
            max_completion_length=self.longest,
            seed=self.seed,
            reference=self.reference,
        )

    @property
    def distinct(self) -> int:
        """How many different problems there are among those of the test: where few exist, some were drawn twice."""
        return len({problem.prompt for problem in self.problems["test"]})

    def harder(self, model: LanguageModel) -> dict[str, float]:
        """The figures of harder problems, as `harder/…`; none where there are no such problems."""
        if "harder" not in self.problems:
            return {}
        return {name.replace("eval/", "harder/"): x for name, x in self.figures(model, "harder")[0].items()}

    def evaluate_and_record(self, model: LanguageModel, step: int, context: Context) -> dict[str, float]:
        """Record the figures of the test problems, and an answer to the first of the easiest: it is read through training.

        Of the samples that of median length: the draws are the same at every evaluation, and any one of them may be
        the last to change.
        """
        figures, made = self.figures(model, "test")
        context.record(step, **figures)
        easiest = min(range(0, len(made.problems), self.samples), key=lambda i: made.problems[i].difficulty)
        by_length = sorted(range(easiest, easiest + self.samples), key=lambda i: made.lengths[i])
        i = by_length[(self.samples - 1) // 2]
        question, answer = made.problems[i].prompt, made.texts[i].removesuffix("<eos>")
        context.sample(step, f"{question} {answer}  {'right' if made.right[i] else 'wrong'}")
        return figures

    def predicted(self, mixture: Mixture) -> float | None:
        """How much of them a base would solve that has learnt its demonstrations and nothing more."""
        if (classes := self.task.classes) is None:
            return None
        return fmean(predicted_accuracy(mixture, p.difficulty, classes) for p in self.problems["test"])


def eval_set(
    task: Task, count: int, samples: int, longest: int, seed: int, reference: LanguageModel | None = None
) -> EvalSet:
    """So many problems of each of "test" and "harder"; so many samples of each, of so many tokens at most."""
    random = np.random.default_rng([seed, APART])
    splits: tuple[Split, ...] = ("test", "harder") if task.has_harder else ("test",)
    problems = {split: task.problems(random, count, split) for split in splits}
    return EvalSet(task, problems, samples, longest, seed, reference)
