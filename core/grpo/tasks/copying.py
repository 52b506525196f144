"""Tasks on a short string of digits, where thinking cannot help: the trace repeats the string.

    reverse:3814=       <think>3,8,1,4</think><answer>4183</answer><eos>
    two at a time       <think>38,14</think><answer>4183</answer><eos>

The prompt has all that the answer needs, in one step's reach. A wrong step is a wrong digit, and the answer is that of
the string in the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...lm.vocabulary import vocabulary
from .demonstration import demonstrations
from .problem import Mixture, Problem, Split, Task, says
from .split import Drawn, depths, draw

if TYPE_CHECKING:
    from numpy.random import Generator


def over_strings(
    name: str, answer: Callable[[str], str], base: Sequence[int], train: Sequence[int], harder: Sequence[int]
) -> Task:
    """A task whose answer is a function of a random string of digits; the difficulty is its length.

    Raises ValueError: base, train or harder is not two lengths, in order.
    """
    ranges = {
        "base": depths("base", base),
        "train": depths("train", train),
        "harder": depths("harder", harder),
    }
    ranges["test"] = ranges["train"]
    longest = max(high for _, high in ranges.values())

    def candidates(rng: Generator, count: int, split: Split) -> list[Drawn[str]]:
        low, high = ranges[split]
        lengths = rng.integers(low, high + 1, count).tolist()
        digits = rng.integers(10, size=(count, high)).tolist()
        strings = ["".join(map(str, row[:n])) for n, row in zip(lengths, digits, strict=True)]
        return [(Problem(f"{name}:{s}=", answer(s), len(s)), s) for s in strings]

    def problems(rng: Generator, count: int, split: Split) -> list[Problem]:
        return [problem for problem, _ in draw(rng, count, split, candidates)]

    def trace(string: str, wrong: Sequence[int], leap: bool) -> tuple[str, str]:
        copy = "".join(str((int(d) + w) % 10) for d, w in zip(string, wrong, strict=False))
        stride = 2 if leap else 1
        return ",".join(copy[i : i + stride] for i in range(0, len(copy), stride)), answer(copy)

    def shown(rng: Generator, count: int, mixture: Mixture) -> list[tuple[Problem, str]]:
        return demonstrations(
            rng,
            draw(rng, count, "base", candidates),
            mixture,
            steps=ranges["base"][1],
            values=10,
            trace=trace,
            guess=lambda string, random: answer(str(random % 10 ** len(string)).zfill(len(string))),
        )

    return Task(
        name=name,
        vocabulary=vocabulary((f"{name}:", *"0123456789", "=", ",")),
        problems=problems,
        demonstrations=shown,
        is_right=says,
        longest_prompt=longest + 2,
        # Digits and commas in the trace; two tags. Untagged short answers are as long as the answer twice: no longer.
        longest_completion=(2 * longest - 1 + 2) + (longest + 2) + 1,
        classes=None,
    )
