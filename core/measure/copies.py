"""How fast a copy is from each level of cache, all threads at once, each with memory of its own. Needs Numba.

A copy of a few kilobytes takes less time than the call of an operator, so it is repeated inside compiled code.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .caches import Cache

BYTES_OF_A_COPY = 2
"""For each byte copied: it is read and written."""
PARTS = (2, 4, 8)
SAMPLES = 10
_LONG = 1e-3  # seconds of a sample
_APART = 2048  # bytes: a store would hold up a load whose address has the same last twelve bits
_LINE = 64


@dataclass(frozen=True)
class CopyRate:
    """What a copy reaches from one level.

    Attributes:
        level: "L1", "L2", "L3", or "memory".
        gb_per_s: 10⁹ bytes a second, read and written, all threads together; the best sample.
        samples: all of them.
        bytes: source and target of one thread.
        capacity: bytes of this level that all threads together have; None for memory, which has no end.
    """

    level: str
    gb_per_s: float
    samples: tuple[float, ...]
    bytes: int
    capacity: int | None


def measure_copies(caches: Sequence[Cache], threads: int, samples: int = SAMPLES) -> list[CopyRate]:
    """One rate for each cache, nearest to the core first: the best with source and target together a half, a quarter or an
    eighth of what a thread has of it. (Other virtual machines may use the rest of a cache that is shared.)

    Raises Refused: Numba is missing.
    """
    found: list[CopyRate] = []
    below = 0
    for cache in caches:
        capacity = cache.size * min(cache.count, threads)
        tried: list[CopyRate] = []
        for part in PARTS:
            each = capacity // threads // part
            if not tried or each > 2 * below:
                rates = loop_rates(each // 2, threads, samples)
                tried.append(CopyRate(cache.name.removesuffix("d"), max(rates), rates, each, capacity))
        found.append(max(tried, key=lambda rate: rate.gb_per_s))
        below = capacity // threads
    return found


def loop_rates(size: int, threads: int, samples: int) -> tuple[float, ...]:
    """10⁹ bytes a second of copies of about `size` bytes on each thread."""
    from ..compiled.code import refuse_without_numba

    refuse_without_numba("the rate of copies from caches")
    import numpy as np

    from .loops import STEP, copy
    from .together import seconds_together

    steps = max(1, size // STEP)
    size = steps * STEP
    # Written once, so that its pages are there.
    memory = [np.ones(2 * size + _APART + 2 * _LINE, np.uint8) for _ in range(threads)]
    sources = [-(-each.ctypes.data // _LINE) * _LINE for each in memory]

    def seconds(times: int) -> float:
        def work(thread: int, counter: int) -> None:
            copy(counter, threads, times, sources[thread] + size + _APART, sources[thread], steps)

        return seconds_together(work, threads)

    seconds(1)  # compiles, or loads what is compiled
    times, began = 1, time.perf_counter()
    while (taken := seconds(times)) < _LONG / 2 and time.perf_counter() - began < 1:
        times = max(2 * times, int(times * _LONG / max(taken, _LONG / 100)))
    return tuple(BYTES_OF_A_COPY * threads * size * times / seconds(times) * 1e-9 for _ in range(samples))


def least_seconds(moved: float, copies: Sequence[CopyRate]) -> float:
    """The time that reading and writing so many bytes takes at least, if they are what a copy of as many moves: what fits
    into a cache comes at its rate, the rest at that of the next level; `copies` end with memory.

    A copy of more than a cache holds may find a part of it there, so that the rate of the next level alone is no bound.
    """
    left, before, seconds = moved, 0.0, 0.0
    for copy in copies:
        part = left if copy.capacity is None else min(left, max(0.0, copy.capacity - before))
        seconds += part / (copy.gb_per_s * 1e9)
        left -= part
        before = max(before, copy.capacity or before)
    return seconds
