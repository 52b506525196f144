"""What a stage of fine-tuning is shown: answers of a model that pass every filter, and demonstrations of better taste."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..grpo.rewards import format, letters_of
from ..grpo.rollout import rollout
from ..grpo.tasks import Problem, Task
from ..lm.language_model import LanguageModel
from ..trial import Refused

PROMPTS, EACH = 64, 4
"""Prompts of a round of sampling, and answers to each."""

Shown = tuple[Problem, str]
"""A prompt, and the answer to it that is learnt."""


def in_form(completion: str, alphabets: Sequence[str]) -> bool:
    """Whether an answer is well-formed, `<think>…</think><answer>…</answer>` and its end, and all digits of its trace are of
    the first alphabet, the prompt's, one at least."""
    used = letters_of(completion, alphabets)
    return format([], [completion])[0] == 1.0 and used[0] > 0 and not any(used[1:])


def accepted(
    model: LanguageModel, task: Task, count: int, most: int, seed: Sequence[int], whose: str
) -> list[Shown]:
    """`count` answers of a model to training problems that are right and `in_form`, sampled at temperature 1.

    Args:
        most: answers that are drawn.
        whose: the stage that answers, for the message.

    Raises Refused: of so many answers fewer can be taken.
    """
    random, device = np.random.default_rng(list(seed)), model.embedding.weight.device
    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    kept: list[Shown] = []
    drawn = 0
    while len(kept) < count and drawn < most:
        sampled = rollout(
            model,
            task,
            task.problems(random, PROMPTS, "train"),
            num_generations=EACH,
            max_completion_length=task.longest_completion,
            temperature=1.0,
            generator=generator,
        )
        drawn += len(sampled.texts)
        for problem, text, right in zip(sampled.problems, sampled.texts, sampled.right.tolist(), strict=True):
            if right and in_form(text, task.alphabets):
                kept.append((problem, text))
    if len(kept) < count:
        raise Refused(
            f"{count} samples are asked for, and of {drawn} answers of {whose} {len(kept)} are right, well-formed and in the "
            "prompt's alphabet"
        )
    return kept[:count]
