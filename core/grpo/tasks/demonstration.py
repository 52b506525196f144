"""Demonstrations in the shares of a mixture: completions for drawn problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .alphabets import in_second, written
from .problem import Mixture, Problem
from .split import Drawn

if TYPE_CHECKING:
    from numpy.random import Generator

T = TypeVar("T")
Trace = Callable[[T, Sequence[int], bool], tuple[str, str]]
"""(parts of the problem, error of each step, whether it takes two steps at once) to the trace and the answer that follows
from it. An error of 0 is none."""

OPEN = "<think>", "<think>", ""
CLOSE = "</think>", "", "</think>"
"""The tags of a long answer: right, without the closing one, without the opening one."""


def demonstrations(
    rng: Generator,
    drawn: Sequence[Drawn[T]],
    mixture: Mixture,
    *,
    steps: int,
    values: int,
    trace: Trace[T],
    guess: Callable[[T, int], str],
    letters: Mapping[int, int] | None = None,
) -> list[tuple[Problem, str]]:
    """A completion for each problem.

    Args:
        drawn: problems, with the parts that traces are made from.
        steps: of the longest trace.
        values: the error of a wrong step is 1 to `values` − 1, uniform.
        trace: from the parts of a problem to its trace and answer.
        guess: (parts of a problem, a random whole number) to a random answer.
        letters: a second alphabet for the digits of traces; see `alphabets.py`.
    Raises ValueError: the mixture asks for a second alphabet, and there is none.
    """
    if letters is None and (mixture.second or mixture.mixed):
        raise ValueError("the shares second and mixed ask for traces in a second alphabet, and there is none")
    n = len(drawn)
    long = rng.random(n) < mixture.long
    leap = rng.random(n) < mixture.leaps
    slip = ((rng.random(n) < mixture.slips) * rng.integers(1, 3, n)).tolist()
    guessed = (rng.random(n) < mixture.direct_noise).tolist()
    random = rng.integers(2**31, size=n).tolist()
    # Drawn for long answers only: most are short.
    shape = int(long.sum()), steps
    noise: Any = mixture.noise
    if letters is not None:
        second = in_second(rng, mixture, leap[long], steps)
        noise = noise + second * (mixture.noise_in_second - noise)
        alphabets = iter(second.tolist())
    wrong = iter(((rng.random(shape) < noise) * rng.integers(1, max(values, 2), shape)).tolist())
    made = []
    for i, (thinks, leaps, (problem, parts)) in enumerate(
        zip(long.tolist(), leap.tolist(), drawn, strict=True)
    ):
        if thinks:
            text, answer = trace(parts, next(wrong), leaps)
            if letters is not None:
                text = written(text, next(alphabets)[:: 2 if leaps else 1], letters)
            how = slip[i]
            before = OPEN[how] + text + CLOSE[how] if mixture.tagged else text
        else:
            answer = guess(parts, random[i]) if guessed[i] else problem.answer
            before = "" if mixture.tagged else answer
        made.append((problem, f"{before}<answer>{answer}</answer><eos>"))
    return made
