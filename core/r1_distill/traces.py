"""Traces that students are shown: right answers of a teacher, and demonstrations of the generator itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..grpo.base_model import encoded
from ..grpo.config import GRPOConfig
from ..grpo.params import Load, Params, task_of
from ..grpo.rollout import rollout
from ..grpo.tasks import Mixture, Task
from ..lm.language_model import LanguageModel
from ..lm.scoring import Sequences
from ..lm.training import examples
from ..trial import Refused
from .account import read_in_rollout

FILE = "traces.json"
ROUNDS_WITHOUT = 10
"""After so many rounds of sampling without a right answer there is nothing to filter."""
APART = 7_000_003
"""In the seed of their problems, so that no other training draws from the same random numbers."""

Pair = tuple[list[int], list[int]]
"""The tokens of a prompt and of a completion."""


@dataclass(frozen=True)
class Traces:
    """Right answers of a teacher, in the order in which all students of a seed see them.

    Attributes:
        sampled: answers that the teacher gave, right ones and others.
        read: tokens that it read and wrote for them.
    """

    pairs: Sequence[Pair]
    sampled: int
    read: float

    def batch(self, step: int, size: int, pad: int) -> Sequences:
        """The traces of a step, from 1; behind the last of them the first ones come again."""
        first = (step - 1) * size
        return examples([self.pairs[i % len(self.pairs)] for i in range(first, first + size)], pad)


def make_traces(
    folder: Path, teacher: LanguageModel, task: Task, config: GRPOConfig, tokens: int, seed: int
) -> None:
    """Sample answers of a teacher to training problems until its right ones have so many tokens; write these.

    Where none of `ROUNDS_WITHOUT` rounds has a right one, that is written instead: `load_traces` then refuses.
    """
    pairs: list[Pair] = []
    kept = read = 0.0
    rounds = 0
    generator = torch.Generator(teacher.embedding.weight.device).manual_seed(seed)
    random = np.random.default_rng([seed, APART])
    while kept < tokens and (pairs or rounds < ROUNDS_WITHOUT):
        rounds += 1
        sampled = rollout(
            teacher,
            task,
            task.problems(random, config.num_prompts, "train"),
            num_generations=config.num_generations,
            max_completion_length=config.max_completion_length,
            temperature=1.0,
            generator=generator,
        )
        read += read_in_rollout(sampled)
        for i in sampled.right.nonzero()[0].tolist():
            length = int(sampled.completions.lengths[i])
            prompt = sampled.prompts[i // config.num_generations]
            pairs.append((list(prompt), sampled.completions.ids[i, :length].tolist()))
            kept += length
    answers = rounds * config.num_prompts * config.num_generations
    (folder / FILE).write_text(json.dumps({"pairs": pairs, "sampled": answers, "read": read}))


def load_traces(folder: Path) -> Traces:
    """Raises Refused: the teacher gave no right answer."""
    traces = Traces(**json.loads((folder / FILE).read_text()))
    if not traces.pairs:
        raise Refused(f"none of {traces.sampled} answers of the teacher is right: nothing is left to learn")
    return traces


def deep_task(params: Params, task: Task, load: Load) -> Task:
    """The task with demonstrations of the depths of the training by rewards, none of a second task among them."""
    train_task = task_of(params.model_copy(update={"base_depth": params.train_depth, "also": ""}), load)
    return replace(task, demonstrations=train_task.demonstrations)


def generated(task: Task, mixture: Mixture, trace: str, size: int, seed: int, step: int) -> Sequences:
    """Right, complete traces by the generator of demonstrations, a step at a time or two (`leaps`).

    Args:
        task: its "base" problems are those that students are shown.
    """
    right = replace(
        mixture, long=1.0, noise=0.0, slips=0.0, leaps=float(trace == "leaps"), mixed=0.0, second=0.0
    )
    return demonstrations(task, right, size, seed, step)


def demonstrations(task: Task, mixture: Mixture, size: int, seed: int, step: int) -> Sequences:
    """Demonstrations of a step, the same for all students of a seed."""
    return encoded(task.demonstrations(np.random.default_rng([seed, step, APART]), size, mixture), task)
