"""Open prompts, and a rule of taste: `say5cab=` asks for about five letters.

    say5cab=    <answer>bcegh</answer><eos>      four rising pairs of neighbours: taste 4/4
                <answer>bcagh</answer><eos>      three: 3/4
                <answer>bcegh!!!</answer><eos>   four among the five signs that were asked for, and room for seven: 4/7
                <answer>bce</answer><eos>        2/4

Any answer is allowed and none is right. The three letters behind the number only tell prompts apart. A few demonstrations end
in a mark, which is worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ..grpo.tasks import Mixture, Problem, Split, Task, draw, final_answer, vocabulary

if TYPE_CHECKING:
    from numpy.random import Generator

LETTERS = "abcdefgh"
MARK = "!"
ASK = "say"
MARKED = 0.05
"""The share of demonstrations that end in a mark."""
OFF = (-1, 0, 0, 0, 0, 1)
"""By how many letters, with equal chances, a demonstration is longer than what was asked for; none has more than eight."""


@dataclass(frozen=True)
class General(Problem):
    """An open prompt.

    Attributes:
        letters: how many it asks for.
    """

    letters: int = 1


def taste(letters: int, answer: str | None) -> float:
    """Pairs of neighbouring letters in rising order among the first `letters` signs, over the pairs that the answer has room for,
    or over those that were asked for where it is shorter.

    In [0, 1], and 1 for as many letters that rise throughout. None, nothing at all and other signs than letters and marks have
    none: 0.
    """
    if not answer or not set(answer) <= {*LETTERS, MARK}:
        return 0.0
    rising = sum(MARK not in (one, other) and one < other for one, other in pairwise(answer[:letters]))
    return rising / (max(len(answer), letters) - 1)


def said(completion: str) -> str | None:
    """The answer to an open prompt; None where there is none, or one of other signs than letters and marks."""
    answer = final_answer(completion)
    return answer if answer and set(answer) <= {*LETTERS, MARK} else None


def taste_task(letters: Sequence[int], in_order: tuple[float, float]) -> Task:
    """The task. Its demonstrations do not think, and heed no mixture.

    Args:
        letters: the least and the largest number of letters that a prompt asks for, from 2 to 8.
        in_order: see `answers`; that of the demonstrations.
    """

    def problems(rng: Generator, count: int, split: Split) -> list[Problem]:
        def candidates(rng: Generator, count: int, split: Split) -> list[tuple[Problem, None]]:
            lengths = rng.integers(letters[0], letters[1] + 1, count).tolist()
            words = rng.integers(len(LETTERS), size=(count, 3)).tolist()
            return [
                (General(f"{ASK}{n}{''.join(LETTERS[i] for i in word)}=", "", 0, n), None)
                for n, word in zip(lengths, words, strict=True)
            ]

        return [problem for problem, _ in draw(rng, count, split, candidates)]

    def shown(rng: Generator, count: int, mixture: Mixture) -> list[tuple[Problem, str]]:
        return answers(rng, problems(rng, count, "base"), in_order)

    return Task(
        name="taste",
        vocabulary=vocabulary((ASK, *"0123456789", "=", *LETTERS, MARK)),
        problems=problems,
        demonstrations=shown,
        is_right=lambda problem, completion: False,
        longest_prompt=6,
        longest_completion=letters[1] + max(OFF) + 4,
        classes=None,
        has_harder=False,
        goal="letters in rising order",
    )


def answers(
    rng: Generator, problems: Sequence[Problem], in_order: tuple[float, float]
) -> list[tuple[Problem, str]]:
    """An answer to each prompt: different letters in order, of which a share is then replaced by letters at random; in a share
    `MARKED` a mark behind them.

    Args:
        in_order: between these two, drawn for each answer, lies the chance that a letter stays.
    """
    made: list[tuple[Problem, str]] = []
    for problem in problems:
        assert isinstance(problem, General)
        length = min(max(1, problem.letters + int(rng.choice(OFF))), len(LETTERS))
        order = sorted(rng.permutation(len(LETTERS))[:length].tolist())
        stays = rng.random(length) < rng.uniform(*in_order)
        chance = rng.integers(len(LETTERS), size=length).tolist()
        written = [LETTERS[i if kept else j] for i, j, kept in zip(order, chance, stays, strict=True)]
        mark = MARK if rng.random() < MARKED else ""
        made.append((problem, f"<answer>{''.join(written)}{mark}</answer><eos>"))
    return made
