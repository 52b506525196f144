"""The problems that a training is evaluated on: records test metrics and one sample answer before, during and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..lm.language_model import LanguageModel
from ..trial import Context
from .evaluation import evaluate
from .rollout import Rollout
from .tasks import Problem, Split, Task

APART = 1_000_003
"""In the seed of the problems, so that no training step draws from the same random numbers."""


@dataclass(frozen=True)
class EvalSet:
    """Problems that no one trains on: the same ones, with the same seed, at every evaluation and for all variants.

    Attributes:
        samples: of each problem.
        max_completion_length: in tokens.
        reference: for `eval/kl`.
    """

    task: Task
    problems: Mapping[Split, Sequence[Problem]]
    samples: int
    max_completion_length: int
    seed: int
    reference: LanguageModel | None = None

    def evaluate(self, model: LanguageModel, split: Split) -> tuple[dict[str, float], Rollout]:
        """`evaluation.evaluate` on the problems of a split."""
        return evaluate(
            model,
            self.task,
            self.problems[split],
            samples=self.samples,
            max_completion_length=self.max_completion_length,
            seed=self.seed,
            reference=self.reference,
        )

    @property
    def distinct(self) -> int:
        """The number of different test problems: where few exist, some are drawn twice."""
        return len({problem.prompt for problem in self.problems["test"]})

    def evaluate_harder(self, model: LanguageModel) -> dict[str, float]:
        """Metrics of the harder problems, as `harder/…`; empty if there are none."""
        if "harder" not in self.problems:
            return {}
        return {name.replace("eval/", "harder/"): x for name, x in self.evaluate(model, "harder")[0].items()}

    def evaluate_and_record(self, model: LanguageModel, step: int, context: Context) -> dict[str, float]:
        """Record the metrics of the test problems, and show a sample."""
        metrics, sampled = self.evaluate(model, "test")
        context.record(step, **metrics)
        self.show(sampled, step, context)
        return metrics

    def show(self, sampled: Rollout, step: int, context: Context) -> None:
        """Keep an answer to the first of the easiest problems of a rollout on the test problems.

        Among its samples it is the one of median length. A sample of fixed index may be the last to change, since every
        evaluation draws the same random numbers.
        """
        easiest = min(
            range(0, len(sampled.problems), self.samples), key=lambda i: sampled.problems[i].difficulty
        )
        by_length = sorted(range(easiest, easiest + self.samples), key=lambda i: sampled.lengths[i])
        i = by_length[(self.samples - 1) // 2]
        question, answer = sampled.problems[i].prompt, sampled.texts[i].removesuffix("<eos>")
        context.sample(step, f"{question} {answer}  {'right' if sampled.right[i] else 'wrong'}")


def draw_eval_set(
    task: Task,
    count: int,
    samples: int,
    max_completion_length: int,
    seed: int,
    reference: LanguageModel | None = None,
) -> EvalSet:
    """Draw `count` problems of each of the splits "test" and, if the task has it, "harder"."""
    random = np.random.default_rng([seed, APART])
    splits: tuple[Split, ...] = ("test", "harder") if task.has_harder else ("test",)
    problems = {split: task.problems(random, count, split) for split in splits}
    return EvalSet(task, problems, samples, max_completion_length, seed, reference)
