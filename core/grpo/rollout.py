"""Rollouts: sample a group of completions for each problem, and verify their answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..lm.generation import Completions, generate
from ..lm.generation import together as concatenate_completions
from ..lm.language_model import LanguageModel
from .rewards import answer_of
from .tasks import Task
from .tasks.problem import Problem, final_answer

_TAG = re.compile(r"</?[a-z]+>")


@dataclass(frozen=True)
class Rollout:
    """`num_generations` completions of each problem; those of one problem are adjacent.

    Attributes:
        prompts: the tokens of each problem's prompt, (problems,).
        problems: one for each completion: every problem is repeated `num_generations` times.
        texts: the completions as text, with their `<eos>`.
        right: (completions,), whether the task's verifier accepts the answer.
    """

    prompts: Sequence[Sequence[int]]
    problems: Sequence[Problem]
    completions: Completions
    texts: Sequence[str]
    right: np.ndarray

    @property
    def thinks(self) -> np.ndarray:
        """(completions,), whether anything but the answer itself precedes it, in tags or not."""
        return np.array([thinks(text) for text in self.texts])

    @property
    def lengths(self) -> np.ndarray:
        """(completions,), in tokens, `<eos>` included."""
        return self.completions.lengths.cpu().numpy()


def thinks(text: str) -> bool:
    """Whether anything but the answer itself precedes it. An untagged short answer writes the answer twice and does not think; see `tasks.problem`."""
    before = _TAG.sub("", text.partition("<answer>")[0]).strip()
    return before not in ("", answer_of(text))


def rollout(
    model: LanguageModel,
    task: Task,
    problems: Sequence[Problem],
    *,
    num_generations: int,
    max_completion_length: int,
    temperature: float,
    generator: torch.Generator,
) -> Rollout:
    """Sample `num_generations` completions of each problem, and verify them.

    Raises ValueError: a prompt and its completion do not fit into the context.
    """
    vocabulary = task.vocabulary
    prompts = [vocabulary.encode(problem.prompt) for problem in problems]
    completions = generate(
        model,
        prompts,
        num_generations=num_generations,
        max_new_tokens=max_completion_length,
        eos=vocabulary.eos_ids,
        pad=vocabulary.pad,
        temperature=temperature,
        generator=generator,
    )
    each = [problem for problem in problems for _ in range(num_generations)]
    texts, right = verified(task, each, completions.ids.tolist(), completions.lengths.tolist())
    return Rollout(prompts, each, completions, texts, right)


def verified(
    task: Task, problems: Sequence[Problem], ids: Sequence[list[int]], lengths: Sequence[int]
) -> tuple[list[str], np.ndarray]:
    """The texts of completions, one for each problem, and whether the task's verifier accepts each."""
    decode = task.vocabulary.decode
    texts = [decode(row[:length]) for row, length in zip(ids, lengths, strict=True)]
    return texts, np.array(
        [task.is_right(problem, text) for problem, text in zip(problems, texts, strict=True)]
    )


def answers(sampled: Rollout, num_generations: int) -> list[list[str | None]]:
    """The answers of each group; None for a completion without one.

    A right answer is replaced by the problem's own, so that different right answers, as in countdown, vote together.
    """
    found = [
        problem.answer if right else final_answer(text)
        for problem, text, right in zip(sampled.problems, sampled.texts, sampled.right, strict=True)
    ]
    return [found[i : i + num_generations] for i in range(0, len(found), num_generations)]


def select_groups(sampled: Rollout, groups: np.ndarray, num_generations: int) -> Rollout:
    """The rollout of some groups, given by index."""
    rows = rows_of_groups(groups, num_generations)
    where, c = torch.from_numpy(rows).to(sampled.completions.ids.device), sampled.completions
    return Rollout(
        [sampled.prompts[i] for i in groups.tolist()],
        [sampled.problems[i] for i in rows.tolist()],
        Completions(
            c.ids[where], c.lengths[where], c.log_probs[where], c.entropies[where], c.finished[where]
        ),
        [sampled.texts[i] for i in rows.tolist()],
        sampled.right[rows],
    )


def rows_of_groups(groups: np.ndarray, num_generations: int) -> np.ndarray:
    """The indices of the completions of these groups."""
    rows: np.ndarray = (groups[:, None] * num_generations + np.arange(num_generations)).ravel()
    return rows


def concatenate(parts: Sequence[Rollout], pad: int) -> Rollout:
    """Concatenate rollouts."""
    if len(parts) == 1:
        return parts[0]
    return Rollout(
        [prompt for part in parts for prompt in part.prompts],
        [problem for part in parts for problem in part.problems],
        concatenate_completions([part.completions for part in parts], pad),
        [text for part in parts for text in part.texts],
        np.concatenate([part.right for part in parts]),
    )
