"""One problem as each variant answers it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SAMPLE = re.compile(r"(\S+) (.*)  (right|wrong)", re.DOTALL)  # `7+6+0+2= <answer>3</answer>  wrong`


@dataclass(frozen=True)
class Answer:
    """The last answer of a variant: at which step, and whether it was right or wrong."""

    variant: str
    step: int
    text: str
    mark: str


@dataclass(frozen=True)
class Answers:
    """The last answers to the problem that most variants have answered, in the order of the variants."""

    problem: str
    rows: Sequence[Answer]


def answers(samples: Mapping[str, Sequence[tuple[int, str]]]) -> Answers | None:
    """Of the texts that trainings have kept, (step, text) by variant; None where no problem was answered by two."""
    last: dict[str, dict[str, Answer]] = {}
    for variant, kept in samples.items():
        for step, text in kept:
            if (found := SAMPLE.fullmatch(text)) is not None:
                last.setdefault(found[1], {})[variant] = Answer(variant, step, found[2].strip(), found[3])
    if not last:
        return None
    problem, count = Counter({problem: len(its) for problem, its in last.items()}).most_common(1)[0]
    return Answers(problem, list(last[problem].values())) if count > 1 else None
