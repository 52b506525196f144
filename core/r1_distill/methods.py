"""What a student learns from, by name; each method takes one step and says what it has used.

    sft-traces        a teacher's right answers, next-token training
    sft-generator     right, complete traces by the generator of demonstrations, next-token training
    kd                the teacher's distribution at each token of its right answers, KL(teacher‖student)
    on-policy         its distribution at each token of the student's own samples, KL(student‖teacher)
    on-policy-token   the same by the sampled token alone
    rl                reward: GRPO
    sft+rl            a teacher's right answers, then reward
    sft+on-policy     a teacher's right answers, then on-policy
    sft-own           the student's own right samples (rejection sampling), next-token training
    sft-demos         more demonstrations like those of its base model, next-token training

A step has as many completions in all of them, and one update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..distill.on_policy import distill_step
from ..distill.on_policy.losses import Loss
from ..grpo.config import GRPOConfig
from ..grpo.rewards import StepRewards
from ..grpo.rollout import Rollout, rollout
from ..grpo.tasks import Task
from ..grpo.trainer import Policy, train_step
from ..lm.language_model import LanguageModel
from ..lm.scoring import Sequences, joined
from .account import UPDATE, Account, operations, read_in, read_in_rollout
from .traces import Traces, demonstrations, generated

METRICS = "loss", "grad_norm", "kl", "entropy", "reward", "right", "think_rate", "completions/mean_length"


@dataclass(frozen=True)
class Lesson:
    """What all steps of a training have in common.

    Attributes:
        task: in the student's tokens. deep: the same with demonstrations of the depths of the training by rewards.
        config: of the trainer; its mixture is that of the base model's demonstrations.
        traces: None for methods that are not shown any.
    """

    task: Task
    deep: Task
    rewards: StepRewards
    config: GRPOConfig
    teacher: LanguageModel
    traces: Traces | None
    trace: str
    seed: int

    @property
    def size(self) -> int:
        """Completions of a step."""
        return self.config.num_prompts * self.config.num_generations


@dataclass(frozen=True)
class Done:
    """What a step has used, and its metrics."""

    account: Account
    metrics: Mapping[str, float]


Method = Callable[[Policy, Lesson, int], Done]
"""(student, lesson, step from 1) to what the step has used."""


def _imitate(
    student: Policy,
    lesson: Lesson,
    step: int,
    sequences: Sequences,
    loss: Loss,
    sampling: Account,
    temperature: float = 1.0,
) -> Done:
    """One update on given completions; `sampling` is what they have cost, `temperature` that of the student's own."""
    teacher = None if loss == "nll" else lesson.teacher
    metrics = distill_step(
        student.model,
        teacher,
        sequences,
        student.optimizer,
        loss=loss,
        temperature=temperature,
        parts=lesson.config.parts,
        max_grad_norm=lesson.config.max_grad_norm,
        step=step,
    )
    read = read_in(sequences)
    scoring = 0.0 if teacher is None else operations(teacher, read)
    used = Account(float(sequences.lengths.sum()), operations(student.model, read, UPDATE), scoring)
    return Done(used + sampling, metrics)


def _of_traces(loss: Loss) -> Method:
    def step_of(student: Policy, lesson: Lesson, step: int) -> Done:
        traces = lesson.traces
        assert traces is not None  # the trial has sampled them for this method
        sequences = traces.batch(step, lesson.size, lesson.task.vocabulary.pad)
        # Its share of what the teacher has read and written for all that it keeps; shown again they cost nothing.
        new = min(lesson.size, max(0, len(traces.pairs) - (step - 1) * lesson.size))
        sampling = operations(lesson.teacher, traces.read) * new / len(traces.pairs)
        return _imitate(student, lesson, step, sequences, loss, Account(teacher=sampling))

    return step_of


def _of_own_samples(loss: Loss) -> Method:
    def step_of(student: Policy, lesson: Lesson, step: int) -> Done:
        sampled = own_samples(student.model, lesson, step)
        c = sampled.completions
        sequences = joined(sampled.prompts, c.ids, c.lengths, lesson.task.vocabulary.pad)
        sampling = Account(student=operations(student.model, read_in_rollout(sampled)))
        done = _imitate(student, lesson, step, sequences, loss, sampling, lesson.config.temperature)
        return replace(done, metrics={**done.metrics, "right": float(sampled.right.mean())})

    return step_of


def own_samples(student: LanguageModel, lesson: Lesson, step: int) -> Rollout:
    """The samples that `rl` would draw from this student at this step: the same problems, the same noise."""
    random, config = np.random.default_rng([lesson.seed, step]), lesson.config
    generator = torch.Generator(student.embedding.weight.device).manual_seed(int(random.integers(2**62)))
    return rollout(
        student,
        lesson.task,
        lesson.task.problems(random, config.num_prompts, "train"),
        num_generations=config.num_generations,
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
        generator=generator,
    )


def _by_trainer(algorithm: str) -> Method:
    """A step of `grpo`'s trainer: by reward, or next-token training on what reward selects."""

    def step_of(student: Policy, lesson: Lesson, step: int) -> Done:
        beta = lesson.config.beta if algorithm == "grpo" else 0.0
        config = replace(lesson.config, algorithm=algorithm, beta=beta)
        result = train_step(student, lesson.task, lesson.rewards, config, seed=lesson.seed, step=step)
        batch = result.batch
        assert batch is not None  # both sample
        read = read_in_rollout(batch.rollout)
        learnt = read
        if algorithm == "rft":
            learnt = read_in(batch.sequences.rows(batch.advantages.nonzero().squeeze(1)))
        used = operations(student.model, read) + operations(student.model, learnt, UPDATE)
        if student.reference is not None and algorithm == "grpo":
            used += operations(student.reference, read)
        return Done(Account(float(batch.rollout.completions.lengths.sum()), used), result.metrics)

    return step_of


def _of_generator(student: Policy, lesson: Lesson, step: int) -> Done:
    sequences = generated(lesson.deep, lesson.config.mixture, lesson.trace, lesson.size, lesson.seed, step)
    return _imitate(student, lesson, step, sequences, "nll", Account())


def _of_demonstrations(student: Policy, lesson: Lesson, step: int) -> Done:
    sequences = demonstrations(lesson.task, lesson.config.mixture, lesson.size, lesson.seed, step)
    return _imitate(student, lesson, step, sequences, "nll", Account())


METHODS: Mapping[str, Method] = {
    "sft-traces": _of_traces("nll"),
    "sft-generator": _of_generator,
    "kd": _of_traces("forward_kl"),
    "on-policy": _of_own_samples("reverse_kl"),
    "on-policy-token": _of_own_samples("token"),
    "rl": _by_trainer("grpo"),
    "sft-own": _by_trainer("rft"),
    "sft-demos": _of_demonstrations,
}
"""By name."""
SECOND = {"sft+rl": "rl", "sft+on-policy": "on-policy"}
"""What follows sft-traces in methods of two parts."""
OF_TRACES = "sft-traces", "kd", *SECOND
"""Methods that are shown a teacher's traces."""
