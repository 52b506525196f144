"""Which problems a model may learn from, decided by the problem alone.

A prompt belongs to the test side if the BLAKE2 hash of its text is divisible by five: one in five, on every machine and
for every seed, without a list. "base" and "train" keep only prompts of the other side, "test" and "harder" only of
this one, so that no order of calls and no choice of depths lets them share a prompt.
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
"""After so many draws in a row without one problem of the wanted side there is none."""

Range = tuple[int, int]
"""The least and the largest, both included."""


def is_held_out(prompt: str) -> bool:
    """Whether a prompt is on the test side."""
    return int.from_bytes(blake2b(prompt.encode(), digest_size=4).digest()) % ONE_IN == 0


def draw(
    rng: Generator,
    count: int,
    split: Split,
    candidates: Callable[[Generator, int, Split], Sequence[Drawn[T]]],
) -> list[Drawn[T]]:
    """So many problems of a split; drawn independently, so that some come twice where there are few.

    Args:
        candidates: (rng, count, split) to problems of both sides, so many or fewer.

    Raises:
        ValueError: an unknown split, a negative count, or no problem of this split's side.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split}; there are {', '.join(SPLITS)}")
    if count < 0:
        raise ValueError(f"count is {count}; it must be at least 0")
    wanted = split in ("test", "harder")
    found: list[Drawn[T]] = []
    empty = 0
    while len(found) < count:
        missing = count - len(found)
        more = candidates(rng, missing * (ONE_IN + 1) if wanted else missing * 4 // 3 + 8, split)
        kept = [one for one in more if is_held_out(one[0].prompt) == wanted]
        empty = 0 if kept else empty + 1
        if empty == PATIENCE:
            raise ValueError(
                f"split {split} has no problems: so few exist that all are on the other side; use more depth"
            )
        found += kept
    return found[:count]


def depths(name: str, given: Sequence[int], least: int = 1) -> Range:
    """The least and the largest depth of a split.

    Raises:
        ValueError: not two whole numbers, in order and at least `least`; the message has the knob's name.
    """
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in given)
    if len(given) != 2 or not whole or not least <= given[0] <= given[1]:
        raise ValueError(f"{name} is {list(given)}; it is the least and the largest depth, from {least} on")
    return given[0], given[1]
