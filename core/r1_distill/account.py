"""What a training costs: tokens of the student, and floating-point operations with and without its teacher's.

A forward pass takes two operations for each number in a matrix that a token is multiplied by (attention's own products,
a few per cent for texts this short, are left out); forward and backward together take three times as many. A prompt counts
once for all its completions, since it is read once for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..distill.student import flops_per_token
from ..grpo.rollout import Rollout
from ..lm.language_model import LanguageModel
from ..lm.scoring import Sequences

FORWARD, UPDATE = 1, 3


@dataclass(frozen=True)
class Account:
    """What has been used so far.

    Attributes:
        tokens: of completions that the student has sampled, or that it was shown; one that it samples and learns counts
            once.
        student, teacher: floating-point operations of each; the teacher's own training is not among them.
    """

    tokens: float = 0.0
    student: float = 0.0
    teacher: float = 0.0

    def __add__(self, other: Account) -> Account:
        return Account(self.tokens + other.tokens, self.student + other.student, self.teacher + other.teacher)


def operations(model: LanguageModel, tokens: float, passes: int = FORWARD) -> float:
    """Floating-point operations of so many passes over so many tokens."""
    return passes * tokens * flops_per_token(model)


def read_in_rollout(sampled: Rollout) -> float:
    """Tokens that sampling reads or writes, each prompt once."""
    return sum(map(len, sampled.prompts)) + float(sampled.completions.lengths.sum())


def read_in(sequences: Sequences) -> float:
    """Tokens of prompts, each once for all its completions, and of these."""
    lengths = dict(zip(sequences.prompts.tolist(), sequences.starts.tolist(), strict=True))
    return sum(lengths.values()) + float(sequences.lengths.sum())


def figures_at(points: Sequence[Mapping[str, float]], metric: str, level: float) -> dict[str, float] | None:
    """All figures where a metric first reaches a level, linear between two evaluations; None where it never does.

    Args:
        points: evaluations in order, each with the same figures, `metric` among them.
    """
    for i, new in enumerate(points):
        if new[metric] >= level:
            if i == 0:
                return dict(new)
            old = points[i - 1]
            part = (level - old[metric]) / (new[metric] - old[metric])
            return {name: (1 - part) * old[name] + part * new[name] for name in new if name in old}
    return None
