"""The peak memory of one call, exact from the allocator and checked against the operating system."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .resident import resident_rise

# A resident set that rises by less need not be tensors: pages of code or Python objects take as much.
SMALLEST_COMPARED = 4e6
# Other changes of the resident set during a call; the largest measured was 0.4 MB.
SLACK = 2e6


@dataclass(frozen=True)
class Memory:
    """The peak memory of one call above the memory in use before it, its result included.

    Attributes:
        allocated: peak bytes allocated by torch. Exact, and the same on every run. It misses what torch does not
            allocate (arrays of NumPy and Numba, the scratch space of a BLAS) and, on the CPU, the release of older
            tensors: a call that replaces its cache seems to need both.
        resident: the largest rise of the process's resident set, in bytes; None where the system does not report it.
            It misses memory that is allocated and never written.
        agrees: whether the two are within 20% or 2 MB of each other; None where there is no `resident`, on CUDA, and
            when both are below 4 MB.
    """

    allocated: float
    resident: float | None
    agrees: bool | None


def memory_of(call: Callable[[], object], device: str = "cpu") -> Memory:
    """The peak memory of `call`, which runs three times on the CPU and twice on CUDA.

    The first run is not measured: it compiles and fills caches. Time nothing afterwards in the same process: on Linux
    glibc's allocator keeps fixed thresholds.

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
    """Peak bytes by the profiler's events: one for each allocation and each release.

    Releases count only for blocks allocated inside the call: for older ones the profiler gives no size, or that of an
    earlier block at the same address.

    `torch.autograd.profiler.profile` underlies `torch.profiler.profile` and costs 3 ms in a process that has imported
    torch; the latter imports more, for 1.3 to 1.8 s.
    """
    # Kineto would print two lines at start and stop. It reads this when its first profile starts.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    from torch.autograd.profiler import profile

    with profile(profile_memory=True) as recorded:
        result = call()
    # After the profile, so that this release is not among its events.
    del result

    sizes: dict[int, int] = {}
    now = peak = 0
    for block in sorted(
        _blocks(recorded.kineto_results.experimental_event_tree()), key=lambda block: block.at
    ):
        if block.size > 0:
            sizes[block.address] = block.size
            now += block.size
            peak = max(peak, now)
        else:
            now -= sizes.pop(block.address, 0)
    return float(peak)


@dataclass(frozen=True)
class _Block:
    """An allocation (`size` > 0) or a release (`size` < 0), in bytes, `at` a time in ns."""

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
    if resident is None or max(allocated, resident) < SMALLEST_COMPARED:
        return None
    return abs(allocated - resident) <= max(0.2 * allocated, SLACK)
