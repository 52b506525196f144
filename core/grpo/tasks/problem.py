"""What a task is: problems, demonstrations in a stated mixture, and whether an answer is right.

    short               <answer>4</answer><eos>
    long                <think>7+5=2,2+8=0,0+4=4</think><answer>4</answer><eos>
    short, untagged     4<answer>4</answer><eos>
    long, untagged      7+5=2,2+8=0,0+4=4<answer>4</answer><eos>

With tags the first token decides whether an answer thinks, so a greedy model thinks once more than 1/2 of its
demonstrations do. Without, both kinds begin alike: a short answer with one of m values, which a model that cannot
compute it can only guess (share (1−p)/m each), a long one with the first operand (share p). Greedy takes the first
operand, and goes on to think where p > (1−p)/m: the threshold is 1/(m+1), and for two values the 1/3 of
arXiv:2510.11495.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ...lm.language_model import Words
from ...lm.vocabulary import EOS
from ..rewards import answer_of

if TYPE_CHECKING:
    from numpy.random import Generator

Split = Literal["base", "train", "test", "harder"]
SPLITS: tuple[Split, ...] = ("base", "train", "test", "harder")
"""What a base model is trained on; what reward is earned on; the same difficulty, never seen; and more of it."""


@dataclass(frozen=True)
class Problem:
    """A question.

    Attributes:
        prompt: as the model gets it, for example `7+5+8+4=`.
        answer: a right one, as it stands between the tags.
        difficulty: steps of a full trace.
    """

    prompt: str
    answer: str
    difficulty: int


@dataclass(frozen=True)
class Mixture:
    """What the demonstrations of a base model are like; all but `tagged` are shares between 0 and 1.

    Attributes:
        long: p, the share that thinks.
        noise: ε, the chance that a step of a trace is wrong. Later steps go on from the wrong value, and the answer
            follows the trace.
        slips: the share of long answers with a broken format: one of `<think>` and `</think>` is left out, both
            equally often. Untagged answers have neither, and none of them slips.
        leaps: the share of long traces that take two steps at once; each of the two is still wrong with chance ε.
        tagged: false writes no `<think>` tags, and a short answer twice; see above.
        direct_noise: the chance that a short answer is a random guess. The others are true: how many a model gets
            right at once then depends only on what it can learn.
        mixed: the share of long traces that mix two alphabets, step by step; see `alphabets.py`.
        second: the share of the other long traces that are in the second alphabet throughout.
        second_noise: ε of a step in the second alphabet; that of the first where it is None.

    Raises:
        ValueError: a share is outside 0 to 1; the message has its name.
    """

    long: float = 0.2
    noise: float = 0.03
    slips: float = 0.3
    leaps: float = 0.1
    tagged: bool = True
    direct_noise: float = 0.0
    mixed: float = 0.0
    second: float = 0.0
    second_noise: float | None = None

    def __post_init__(self) -> None:
        shares = "long", "noise", "slips", "leaps", "direct_noise", "mixed", "second", "second_noise"
        for name in shares:
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:  # NaN is no share either
                raise ValueError(f"{name} is {share}; it is a share, from 0 to 1")

    @property
    def noise_in_second(self) -> float:
        return self.noise if self.second_noise is None else self.second_noise


@dataclass(frozen=True)
class Task:
    """Problems of one kind, and all that training and evaluation ask of them.

    Attributes:
        problems: (rng, count, split) to so many problems. The same rng state gives the same. Prompts of "base" and
            "train" are never among those of "test" and "harder"; see `split.py`.
        demonstrations: (rng, count, mixture) to so many problems of "base", each with a completion that ends in `<eos>`.
        is_right: (problem, completion); false for anything but one well-formed right answer, at the end.
        longest_prompt, longest_completion: in tokens, over all splits; the context needs their sum.
        classes: m, among how many answers a model that cannot solve a problem guesses; None where there is no such
            number, because answers can be learnt without thinking.
        has_harder: whether there are problems of "harder"; else nothing is told of these.
        alphabets: in which digits a trace may be written, those of the prompt first; none where there is no choice.
    """

    name: str
    vocabulary: Words = field(repr=False)
    problems: Callable[[Generator, int, Split], list[Problem]]
    demonstrations: Callable[[Generator, int, Mixture], list[tuple[Problem, str]]]
    is_right: Callable[[Problem, str], bool]
    longest_prompt: int
    longest_completion: int
    classes: int | None
    has_harder: bool = True
    alphabets: tuple[str, ...] = ()


def final_answer(completion: str) -> str | None:
    """The answer a completion ends with; None unless there is exactly one, it is not empty, and nothing is behind it.

    One `<eos>` may follow; a completion that was cut off just before it has given its answer all the same.
    """
    text = completion.removesuffix(EOS)
    if not text.endswith("</answer>") or EOS in text:
        return None
    return answer_of(text) or None


def says(problem: Problem, completion: str) -> bool:
    """Whether the one answer of a completion is the problem's, letter by letter."""
    return final_answer(completion) == problem.answer


def predicted_accuracy(mixture: Mixture, depth: int, classes: int) -> float:
    """p(1−ε)^k + (1−p)/m: how often samples of a model that has learnt the mixture, and nothing more, are right.

    Where traces are in two alphabets, (1−ε)^k is the mean over them; a step of a mixed trace is wrong with the mean of
    both ε.

    Left out: errors that cancel. A wrong step adds a random other element, so that over a group of m elements a trace
    of k steps is right with 1/m + (1 − 1/m)(1 − εm/(m−1))^k, which for ε = .03, k = 6 and m = 10 is more by .0013. And
    that the two operations of a leap share their alphabet: for ε = 0 and .1 a mixed one is right in .905 of all cases,
    and not in .95² = .9025.

    Args:
        mixture: for p (`long`), ε (`noise`, `second_noise`) and the shares of alphabets.
        depth: k, steps of a trace.
        classes: m, answers that a guess chooses among.

    Raises:
        ValueError: depth below 0, or no classes.
    """
    if depth < 0 or classes < 1:
        raise ValueError(
            f"depth {depth} and {classes} classes; a depth is at least 0, and one class is the least"
        )
    noises = mixture.noise, mixture.noise_in_second
    first, second, mixed = ((1 - e) ** depth for e in (*noises, sum(noises) / 2))
    whole = (1 - mixture.second) * first + mixture.second * second
    right = (1 - mixture.mixed) * whole + mixture.mixed * mixed
    return mixture.long * right + (1 - mixture.long) / classes
