"""A task whose demonstrations are in part those of another: what a training on the first forgets is seen on the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...lm.vocabulary import Vocabulary
from .problem import Mixture, Problem, Task

if TYPE_CHECKING:
    from numpy.random import Generator


def with_also(task: Task, other: Task, share: float) -> Task:
    """The first task, in a vocabulary for both, with a share of the demonstrations taken from the other.

    Problems, and what is right, stay those of the first.

    Raises ValueError: the share is not one, or a vocabulary is not ours.
    """
    if not 0 < share < 1:
        raise ValueError(f"also_share is {share}; it is a share between 0 and 1")

    def demonstrations(rng: Generator, count: int, mixture: Mixture) -> list[tuple[Problem, str]]:
        of_other = int(rng.binomial(count, share))
        both = [
            *task.demonstrations(rng, count - of_other, mixture),
            *other.demonstrations(rng, of_other, mixture),
        ]
        return [both[i] for i in rng.permutation(count).tolist()]

    tokens = dict.fromkeys([*_tokens(task), *_tokens(other)])
    return replace(
        task,
        vocabulary=Vocabulary(tuple(tokens)),
        demonstrations=demonstrations,
        longest_prompt=max(task.longest_prompt, other.longest_prompt),
        longest_completion=max(task.longest_completion, other.longest_completion),
    )


def _tokens(task: Task) -> Sequence[str]:
    if not isinstance(task.vocabulary, Vocabulary):
        raise ValueError(f"task {task.name} has a vocabulary of its own kind, which cannot be joined")
    return task.vocabulary.tokens
