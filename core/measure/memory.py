"""The peak memory of one call, exact from the allocator and checked against the operating system."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .resident import resident_rise

# Below this the resident set says nothing about tensors: a few pages of code or of Python objects weigh as much.
SMALLEST_TELLING = 4e6
# What else moves in the resident set during a call; 0.4 MB is the most that was seen.
SLACK = 2e6


@dataclass(frozen=True)
class Memory:
    """The peak memory of one call above what was there before it. What the call returns counts.

    Attributes:
        allocated: bytes that torch had allocated at once. Exact, and the same on every run. Blind to what is not
            allocated through torch (NumPy's and Numba's own arrays, the scratch space of a BLAS), and on the CPU to
            the release of what was there before: a call that replaces its cache seems to need both.
        resident: bytes by which the process's resident set grew at its highest; None where the system does not tell.
            Blind to memory that was allocated and never written.
        agrees: whether the two are within 20% or 2 MB of each other; None where there is no `resident`, on CUDA, and
            when both are below 4 MB.
    """

    allocated: float
    resident: float | None
    agrees: bool | None


def memory_of(call: Callable[[], object], device: str = "cpu") -> Memory:
    """The peak memory of `call`, which is made three times on the CPU and twice on CUDA.

    The first call is thrown away: what is made only once, by compilers and caches, is not this call's memory.

    Meant for a process that times nothing afterwards: on Linux it leaves glibc's allocator with fixed thresholds.

    Raises ValueError: for a device other than "cpu" and "cuda".
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f'the memory of a call can be told on "cpu" and "cuda", not on {device!r}')
    call()
    gc.collect()
    if device == "cuda":
        return Memory(allocated=_allocated_on_cuda(call), resident=None, agrees=None)
    allocated = _allocated_on_cpu(call)
    resident = resident_rise(call)
    return Memory(allocated, resident, _agree(allocated, resident))


def _allocated_on_cpu(call: Callable[[], object]) -> float:
    """Peak bytes by the profiler's events, of which every allocation and every release leaves one.

    Releases count only for what was allocated inside the call: of what is older the profiler gives no size, or, where
    an earlier profile saw a block at the same address, the size of that one.

    `torch.autograd.profiler.profile` is what `torch.profiler.profile` stands on. It costs 3 ms in a process that has
    imported torch; the latter first imports more, for 1.3 to 1.8 s.
    """
    # Kineto would print two lines at start and stop. It reads this when its first profile starts.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    from torch.autograd.profiler import profile

    with profile(profile_memory=True) as recorded:
        result = call()
    # Released only here, so that the release is not among the events.
    del result

    held: dict[int, int] = {}
    now = peak = 0
    for block in sorted(
        _blocks(recorded.kineto_results.experimental_event_tree()), key=lambda block: block.at
    ):
        if block.size > 0:
            held[block.address] = block.size
            now += block.size
            peak = max(peak, now)
        else:
            now -= held.pop(block.address, 0)
    return float(peak)


@dataclass(frozen=True)
class _Block:
    """What was allocated (`size` > 0) or released (`size` < 0), in bytes, `at` a time in ns."""

    at: int
    address: int
    size: int


def _blocks(events: Iterable[Any]) -> Iterator[_Block]:
    """Every allocation and release in a tree of the profiler's events, in any order."""
    pending = list(events)
    while pending:
        event = pending.pop()
        pending.extend(event.children)
        if event.name == "[memory]":
            yield _Block(event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size)


def _allocated_on_cuda(call: Callable[[], object]) -> float:
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    del result
    return float(peak - before)


def _agree(allocated: float, resident: float | None) -> bool | None:
    if resident is None or max(allocated, resident) < SMALLEST_TELLING:
        return None
    return abs(allocated - resident) <= max(0.2 * allocated, SLACK)
