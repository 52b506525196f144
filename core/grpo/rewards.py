"""Rewards: functions from the text of completions to numbers, and their weighted sum.

A completion is text such as `<think>7+5=2,2+8=0</think><answer>0</answer><eos>`. The two rewards of DeepSeek-R1-Zero are
`accuracy` and `format` (arXiv:2501.12948, §2.2.2); R1 adds `language_consistency` (§2.3.2). `random_reward` is a
control: nothing can be learnt from it. Any function with the signature of `Reward` is a reward.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.random import Generator

END = "<eos>"
MAX_UNSCORED = 0.1
"""A batch with a larger share of completions without a score raises `RewardError`: the rest would be biased."""

_TOKEN = re.compile(r"</?[a-z]+>|.", re.DOTALL)
_TAG = re.compile(r"</?(?:think|answer)>")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TRACE = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_FORMAT = re.compile(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)


class Problem(Protocol):
    """The problem, as a reward sees it; `tasks.Problem` is one."""

    @property
    def prompt(self) -> str: ...

    @property
    def answer(self) -> str: ...


Reward = Callable[[Sequence[Problem], Sequence[str]], Sequence[float | None]]
"""(problems, completions), one problem for each completion, to one number for each; None for no score."""


class RewardError(Exception):
    """A reward raised, or did not return one finite number, or None, for each completion."""


def answer_of(completion: str) -> str | None:
    """The text inside the only `<answer>…</answer>`, without white space around it.

    None for no such pair of tags, more than one, an unclosed one, or one with tags inside.
    """
    if completion.count("<answer>") != 1 or completion.count("</answer>") != 1:
        return None
    found = _ANSWER.search(completion)
    if found is None or _TAG.search(found[1]) or END in found[1]:
        return None
    return found[1].strip()


def trace_of(completion: str) -> str | None:
    """The text inside the only `<think>…</think>`; None for no such pair of tags, more than one or an unclosed one."""
    if completion.count("<think>") != 1 or completion.count("</think>") != 1:
        return None
    found = _TRACE.search(completion)
    return found[1] if found else None


def letters_of(completion: str, alphabets: Sequence[str]) -> list[int]:
    """The number of tokens of the trace from each alphabet; 0 without a trace."""
    tokens = tokens_of(trace_of(completion) or "")
    return [sum(token in alphabet for token in tokens) for alphabet in alphabets]


def tokens_of(text: str) -> list[str]:
    """Split a text into tokens: each tag is one, and each other character."""
    return _TOKEN.findall(text)


def accuracy(is_right: Callable[[Any, str], bool]) -> Reward:
    """1 for a right answer, else 0, by the verifier that evaluation uses, `Task.is_right`."""

    def reward(problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        pairs = zip(problems, completions, strict=True)
        return [float(is_right(problem, completion)) for problem, completion in pairs]

    return reward


def format(problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
    """1 for `<think>…</think><answer>…</answer>` and the end, both with something inside, else 0.

    An answer alone gets 0. So do an empty `<think></think>` (TRL's `think_format_reward` gives it 1), a tag inside
    another, an unclosed tag, and text before, between or after the tags, except for white space.
    """
    return [float(_well_formed(completion)) for completion in completions]


def length(max_length: int) -> Reward:
    """−tokens / max_length, counted as in `tokens_of`: shorter is better. Raises ValueError: max_length below 1."""
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be 1 or more")

    def reward(problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        return [-len(tokens_of(completion)) / max_length for completion in completions]

    return reward


def language_consistency(*alphabets: str, target: str | None = None) -> Reward:
    """The share of a trace's tokens from one alphabet: the target, or else the one that the trace uses most.

    Tokens of no alphabet, such as signs, are not counted. A completion without a trace, or whose trace has no token of
    an alphabet, gets 0: leaving the trace out earns nothing. DeepSeek-R1 §2.3.2 takes the share of the target language's words.

    Args:
        alphabets: two or more strings of characters, disjoint.
        target: one of these.
    Raises ValueError: fewer than two alphabets, a character in two of them, or a target that is none of them.
    """
    if len(alphabets) < 2:
        raise ValueError(f"language_consistency needs two alphabets or more, not {len(alphabets)}")
    for one, other in combinations(alphabets, 2):
        if common := set(one) & set(other):
            raise ValueError(f"the alphabets {one!r} and {other!r} both have {min(common)!r}")
    if target is not None and target not in alphabets:
        raise ValueError(f"the target {target!r} is none of the alphabets {', '.join(map(repr, alphabets))}")

    def share(completion: str) -> float:
        used = letters_of(completion, alphabets)
        chosen = max(used) if target is None else used[alphabets.index(target)]
        return chosen / max(sum(used), 1)

    def reward(problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        return [share(completion) for completion in completions]

    return reward


def random_reward(rng: Generator) -> Reward:
    """1 or 0 at random, independent of the completion: a control. Each call advances `rng`."""

    def reward(problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        return [float(toss) for toss in rng.integers(0, 2, len(completions))]

    return reward


@dataclass(frozen=True)
class Scores:
    """The rewards of a batch of completions.

    Attributes:
        total: the weighted sum for each completion; NaN if a reward with a weight gave no score.
        values: by reward, its value for each completion, unweighted; NaN for no score.
        unscored: the number of NaN in total.
    """

    total: list[float]
    values: dict[str, list[float]]
    unscored: int


@dataclass(frozen=True)
class WeightedRewards:
    """Rewards by name, and their weights: 1 by default, 0 for a reward that is only recorded.

    Raises ValueError: no rewards, a weight for a name that is not among them, or one that is not finite.
    """

    rewards: Mapping[str, Reward]
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.rewards:
            raise ValueError("no rewards to compose")
        for name, weight in self.weights.items():
            if name not in self.rewards:
                raise ValueError(
                    f"a weight for {name!r}, which is no reward here; known: {', '.join(self.rewards)}"
                )
            if not math.isfinite(weight):
                raise ValueError(f"the weight of {name!r} is {weight}")

    @property
    def max_total(self) -> float:
        """The weighted sum where every reward is 1, or 0 if its weight is negative."""
        return math.fsum(max(self.weights.get(name, 1.0), 0.0) for name in self.rewards)

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Scores:
        """Score a batch.

        Args:
            problems: the problem of each completion.
            completions: the completions.
        Raises:
            ValueError: not one problem for each completion.
            RewardError: a reward raised, returned the wrong number of values, or returned a value that is not a finite
                number (None and NaN mean "no score"); or more than a tenth of the completions have no score. The
                message, one line, names the reward and the first such sample.
        """
        if len(problems) != len(completions):
            raise ValueError(f"{len(problems)} problems, but {len(completions)} completions")
        values = {name: _values(name, reward, problems, completions) for name, reward in self.rewards.items()}
        weights = {name: w for name in values if (w := self.weights.get(name, 1.0))}
        total = [
            math.fsum(w * values[name][i] for name, w in weights.items()) for i in range(len(completions))
        ]
        unscored = [i for i, x in enumerate(total) if math.isnan(x)]
        if len(unscored) > MAX_UNSCORED * len(total):
            i = unscored[0]
            name = next(name for name in weights if math.isnan(values[name][i]))
            raise RewardError(
                f"reward {name!r} gave no score (None or NaN) to {_sample(problems[i], completions[i])}; in all "
                f"{len(unscored)} of {len(total)} completions have none, and more than {MAX_UNSCORED:.0%} stops a run"
            )
        return Scores(total, values, len(unscored))


StepRewards = Callable[["Generator"], WeightedRewards]
"""A step's random numbers to its rewards: those of `random_reward` are drawn from them."""


def _well_formed(completion: str) -> bool:
    body = completion.rstrip().removesuffix(END)
    found = _FORMAT.fullmatch(body)
    if found is None or END in body or len(_TAG.findall(body)) != 4:
        return False
    return all(inside.strip() for inside in found.groups())


def _values(
    name: str, reward: Reward, problems: Sequence[Problem], completions: Sequence[str]
) -> list[float]:
    try:
        returned = list(reward(problems, completions))
    except Exception as error:
        i = _first_to_raise(reward, problems, completions)
        said = f": {line}" if (line := " ".join(str(error).split())) else ""
        raise RewardError(
            f"reward {name!r} raised {type(error).__name__}{said}, {_first(i, problems, completions)}"
        ) from error
    if len(returned) != len(completions):
        raise RewardError(
            f"reward {name!r} returned {len(returned)} values for {len(completions)} completions, "
            f"{_first(0, problems, completions)}"
        )
    return [
        _number(name, value, problem, completion)
        for value, problem, completion in zip(returned, problems, completions, strict=True)
    ]


def _number(name: str, value: object, problem: Problem, completion: str) -> float:
    if value is None:
        return math.nan
    try:
        number = math.inf if isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]
    except Exception:  # whatever a foreign type's __float__ raises
        number = math.inf
    if math.isinf(number):
        raise RewardError(
            f"reward {name!r} returned {_short(value)}, which is no finite number, for {_sample(problem, completion)}"
        )
    return number


def _first_to_raise(reward: Reward, problems: Sequence[Problem], completions: Sequence[str]) -> int:
    """The first sample for which the reward raises when called with it alone, or else 0."""
    for i in range(len(completions)):
        try:
            reward(problems[i : i + 1], completions[i : i + 1])
        except Exception:
            return i
    return 0


def _first(i: int, problems: Sequence[Problem], completions: Sequence[str]) -> str:
    return f"first for {_sample(problems[i], completions[i])}" if completions else "for no completions"


def _sample(problem: Problem, completion: str) -> str:
    return f"prompt {_short(problem.prompt)}, completion {_short(completion)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:50]}…{text[-25:]}"
