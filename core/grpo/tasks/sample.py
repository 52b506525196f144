"""A sample of a task's problems and demonstrations; checks on it, before anything is trained, that the task does what
`Task` promises; the same task in the tokens of a pretrained model.

Built-in tasks are checked by tests, a user's task by each experiment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...lm.language_model import Words
from ...lm.vocabulary import EOS
from .problem import SPLITS, Mixture, Problem, Split, Task

T = TypeVar("T")

EACH = 100
"""Problems of each split in a sample, and demonstrations."""


@dataclass(frozen=True)
class Sample:
    """Problems and demonstrations of a task."""

    problems: Mapping[Split, Sequence[Problem]]
    demonstrations: Sequence[tuple[Problem, str]]

    @property
    def prompts(self) -> list[str]:
        return [problem.prompt for some in self.problems.values() for problem in some]

    @property
    def completions(self) -> list[str]:
        """Without their `<eos>`."""
        return [text.removesuffix(EOS) for _, text in self.demonstrations]


def sample(task: Task, mixture: Mixture) -> Sample:
    """A sample of a task, the same at every call."""
    import numpy as np

    splits = [split for split in SPLITS if task.has_harder or split != "harder"]
    problems = {split: task.problems(np.random.default_rng(0), EACH, split) for split in splits}
    return Sample(problems, task.demonstrations(np.random.default_rng(0), EACH, mixture))


def check_task(task: Task, mixture: Mixture) -> None:
    """Check a sample of a task against what `Task` promises. Raises ValueError: the first mistake, in one line."""
    drawn = _call("drawing problems and demonstrations", sample, task, mixture)
    if drawn != _call("drawing problems and demonstrations again", sample, task, mixture):
        raise ValueError("the same random numbers give other problems or demonstrations at a second call")
    for what, some in (*drawn.problems.items(), ("demonstrations", drawn.demonstrations)):
        if len(some) != EACH:
            raise ValueError(f"asked for {EACH} of {what}, it gives {len(some)}")
    for split, problems in drawn.problems.items():
        for problem in problems:
            if not isinstance(problem, Problem):
                raise ValueError(f"problems of split {split} are {type(problem).__name__}, not Problem")
            if not isinstance(problem.difficulty, int):
                raise ValueError(
                    f"the difficulty of {problem.prompt!r} is {problem.difficulty!r}, no whole number"
                )
            _check_length(task, problem.prompt, task.longest_prompt, "prompt")
            good = f"<answer>{problem.answer}</answer>{EOS}"
            if not _call(f"is_right of {problem.prompt!r}", task.is_right, problem, good):
                raise ValueError(f"is_right refuses {good} for {problem.prompt!r}, the problem's own answer")
            if _call(f"is_right of {problem.prompt!r}", task.is_right, problem, EOS):
                raise ValueError(f"is_right takes an empty answer to {problem.prompt!r}")
    trained_on, tested_on = (
        {p.prompt for split in splits for p in drawn.problems.get(split, ())}
        for splits in (SPLITS[:2], SPLITS[2:])
    )
    if both := trained_on & tested_on:
        raise ValueError(f"the prompt {min(both)!r} is learnt from and tested on; `draw` keeps the two apart")
    for problem, text in drawn.demonstrations:
        if not (isinstance(problem, Problem) and isinstance(text, str)):
            raise ValueError(
                f"demonstrations are pairs of a Problem and a text, not {problem!r} and {text!r}"
            )
        if not text.endswith(EOS):
            raise ValueError(f"the demonstration {text!r} does not end in {EOS}")
        _check_length(task, text, task.longest_completion, "completion")


def with_tokenizer(task: Task, mixture: Mixture, words: Words) -> Task:
    """The same task in the tokens of a pretrained model.

    Its longest prompt and completion are estimated: the longest of a sample in the new tokens, times the task's longest
    over the longest of the sample in its own tokens.

    Raises ValueError: a prompt or a demonstration does not survive encoding and decoding.
    """
    drawn = sample(task, mixture)
    before = len(words.encode(""))  # tokens that a tokenizer puts before any text

    def lengths(text: str) -> tuple[int, int]:
        ids = words.encode(text)[before:]
        if (back := words.decode(ids)) != text:
            raise ValueError(f"the tokenizer cannot write the task's text: {text!r} comes back as {back!r}")
        return len(task.vocabulary.encode(text)), len(ids)

    def longest(texts: Sequence[str], ends: int, known: int) -> int:
        ours, theirs = max(map(lengths, texts), key=lambda pair: pair[1])
        return math.ceil((theirs + ends) * max(1.0, known / (ours + ends)))

    return replace(
        task,
        vocabulary=words,
        longest_prompt=before + longest(drawn.prompts, 0, task.longest_prompt),
        longest_completion=longest(drawn.completions, 1, task.longest_completion),
    )


def _check_length(task: Task, text: str, most: int, what: str) -> None:
    length = len(_call(f"reading the {what} {text!r}", task.vocabulary.encode, text))
    if not 0 < length <= most:
        raise ValueError(f"the {what} {text!r} has {length} tokens, and longest_{what} is {most}")


def _call(doing: str, function: Callable[..., T], *arguments: Any) -> T:
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{doing} raised {type(error).__name__}: {' '.join(str(error).split())}") from error
