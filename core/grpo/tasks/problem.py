"""A task: problems, demonstrations in the shares of a mixture, and a verifier of answers.

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
"""The base model is trained on base, GRPO on train. test is as difficult as train, harder more so; neither is trained on."""


@dataclass(frozen=True)
class Problem:
    """A question.

    Attributes:
        prompt: the text that the model continues, for example `7+5+8+4=`.
        answer: a right one, as between the tags.
        difficulty: steps of a full trace.
    """

    prompt: str
    answer: str
    difficulty: int


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of demonstrations; all but `tagged` are between 0 and 1.

    Attributes:
        long: p, the share with a trace.
        noise: ε, the chance that a step of a trace is wrong. Later steps go on from the wrong value, and the answer
            follows the trace.
        slips: the share of long answers with a broken format: `<think>` or `</think>` is left out, equally often.
            Untagged answers have neither, so none slips.
        leaps: the share of long traces that take two steps at once; each of the two is still wrong with chance ε.
        tagged: whether traces have `<think>` tags; if not, a short answer is written twice, as above.
        direct_noise: the chance that a short answer is a random guess. The others are right.
        mixed: the share of long traces that mix two alphabets, step by step; see `alphabets.py`.
        second: the share of the other long traces that are in the second alphabet throughout.
        second_noise: ε of a step in the second alphabet; None: `noise`.
    Raises ValueError: a share is outside 0 to 1; the message names it.
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
        """ε of a step in the second alphabet."""
        return self.noise if self.second_noise is None else self.second_noise


@dataclass(frozen=True)
class Task:
    """Problems of one kind, with all that training and evaluation need.

    Attributes:
        problems: (rng, count, split) to `count` problems, determined by the state of rng. No prompt of "base" or "train"
            is one of "test" or "harder"; see `split.py`.
        demonstrations: (rng, count, mixture) to `count` pairs of a problem of "base" and a completion with `<eos>`.
        is_right: the verifier, (problem, completion) to whether it ends in exactly one well-formed, right answer.
        longest_prompt, longest_completion: in tokens, over all splits; the context needs their sum.
        classes: m, the number of answers among which a model that cannot solve a problem guesses; None if answers can be
            learnt without thinking.
        has_harder: whether there are problems of "harder".
        alphabets: in which a trace may be written, that of the prompt first; empty if there is only one.
        goal: what a right answer is, in a few words: `the last digit of the sum`.
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
    goal: str = ""


def final_answer(completion: str) -> str | None:
    """The answer at the end of a completion; None unless there is exactly one, not empty, and nothing follows it.

    One `<eos>` may follow. It may be missing, since a completion may be truncated just before it.
    """
    text = completion.removesuffix(EOS)
    if not text.endswith("</answer>") or EOS in text:
        return None
    return answer_of(text) or None


def says(problem: Problem, completion: str) -> bool:
    """Whether the final answer of a completion is exactly the problem's; a verifier for tasks with one right answer."""
    return final_answer(completion) == problem.answer
