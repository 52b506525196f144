"""What is measured of a student: its answers, its distance from the teacher, what it forgets, its price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..distill.on_policy import kl_to_teacher
from ..grpo.accuracy_at_k import pass_at_k
from ..grpo.base_model import encoded
from ..grpo.eval_set import EvalSet
from ..grpo.rollout import rollout
from ..grpo.tasks import Mixture, Task
from ..lm.language_model import LanguageModel
from ..lm.scoring import Sequences, joined, log_probs
from ..trial import Context

OTHER = 512
"""Demonstrations of the second task, on which forgetting is seen."""
APART = 9_000_011
"""In their seed, so that no training draws from the same random numbers."""


@dataclass(frozen=True)
class Evaluation:
    """The problems, the teacher and the second task that students of a seed are measured by.

    Attributes:
        other: demonstrations of the second task, in the student's tokens; None without one.
        many: samples of each problem of which one is to be right.
    """

    problems: EvalSet
    teacher: LanguageModel
    other: Sequences | None
    many: int

    def measure(self, student: LanguageModel, step: int, context: Context) -> dict[str, float]:
        """The metrics of `grpo`'s evaluation, an answer being shown; `eval/kl_to_teacher`, the mean KL(student‖teacher) in
        nats at each token of the student's own samples; `other_loss`, nats per token of the second task's demonstrations.
        """
        metrics, sampled = self.problems.evaluate(student, "test")
        self.problems.show(sampled, step, context)
        c = sampled.completions
        own = joined(sampled.prompts, c.ids, c.lengths, self.problems.task.vocabulary.pad)
        metrics["eval/kl_to_teacher"] = kl_to_teacher(student, self.teacher, own)
        if self.other is not None:
            metrics["other_loss"] = _loss(student, self.other)
        return metrics

    def one_of_many(self, student: LanguageModel) -> float:
        """The share of problems that `many` samples solve at least once."""
        test = self.problems
        sampled = rollout(
            student,
            test.task,
            test.problems["test"],
            num_generations=self.many,
            max_completion_length=test.max_completion_length,
            temperature=1.0,
            generator=torch.Generator(student.embedding.weight.device).manual_seed(test.seed),
        )
        return pass_at_k(sampled.right.reshape(-1, self.many), self.many)


def other_demonstrations(other: Task, task: Task, mixture: Mixture, seed: int) -> Sequences:
    """Demonstrations of the second task in the tokens of the first."""
    return encoded(other.demonstrations(np.random.default_rng([seed, APART]), OTHER, mixture), task)


@torch.no_grad()
def _loss(model: LanguageModel, sequences: Sequences) -> float:
    logp, _ = log_probs(model, sequences.on(model.embedding.weight.device))
    return -float(logp.sum()) / float(sequences.lengths.sum())
