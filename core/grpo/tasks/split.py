"""The split into training and test prompts, decided by the prompt alone.

A prompt is held out for testing if the BLAKE2 hash of its text is divisible by five: one in five, the same on every
machine and for every seed. "base" and "train" keep only prompts that are not held out, "test" and "harder" only those
that are, so that they never share a prompt, whatever the order of calls and the depths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

from .problem import SPLITS, Problem, Split

if TYPE_CHECKING:
    from numpy.random import Generator

T = TypeVar("T")
Drawn = tuple[Problem, T]
"""A problem, and what its trace is made from."""

ONE_IN = 5
PATIENCE = 50
"""After so many draws in a row without a problem of the split, `draw` gives up."""

Range = tuple[int, int]
"""The smallest and the largest, both included."""


def is_held_out(prompt: str) -> bool:
    """Whether a prompt is held out for testing."""
    return int.from_bytes(blake2b(prompt.encode(), digest_size=4).digest()) % ONE_IN == 0


def draw(
    rng: Generator,
    count: int,
    split: Split,
    candidates: Callable[[Generator, int, Split], Sequence[Drawn[T]]],
) -> list[Drawn[T]]:
    """`count` problems of a split, drawn independently: where few exist, some come twice.

    `candidates` makes (rng, count, split) to at most `count` problems, held out or not.
    Raises ValueError: an unknown split, a negative count, or a split without problems.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split}; there are {', '.join(SPLITS)}")
    if count < 0:
        raise ValueError(f"count is {count}; it must be at least 0")
    test = split in ("test", "harder")
    found: list[Drawn[T]] = []
    empty = 0
    while len(found) < count:
        missing = count - len(found)
        more = candidates(rng, missing * (ONE_IN + 1) if test else missing * 4 // 3 + 8, split)
        kept = [one for one in more if is_held_out(one[0].prompt) == test]
        empty = 0 if kept else empty + 1
        if empty == PATIENCE:
            raise ValueError(
                f"split {split} has no problems: so few exist that all are on the other side; use more depth"
            )
        found += kept
    return found[:count]


def depths(name: str, given: Sequence[int], least: int = 1) -> Range:
    """The least and the largest depth of a split.

    Raises ValueError: not two whole numbers, in order and at least `least`; the message names the parameter.
    """
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in given)
    if len(given) != 2 or not whole or not least <= given[0] <= given[1]:
        raise ValueError(f"{name} is {list(given)}; it is the least and the largest depth, from {least} on")
    return given[0], given[1]
