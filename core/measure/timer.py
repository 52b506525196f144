"""Times several calls side by side, in seconds per call.

Calls to compare are timed in one process, in shuffled blocks: a busy neighbour, a slower clock or a full cache then
affects all of them alike, and their times can be paired by block.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Call = Callable[[], object]
Sampler = Callable[[Call, int], float]

TIMERS: Mapping[str, str] = {"cpu": "perf_counter_ns", "cuda": "cuda events"}

# A thousand times the cost and jitter of reading the clock.
SHORTEST_SAMPLE = 0.2e-3

# One interruption by the scheduler can double a shorter sample, so those are taken three times.
_LONG_SAMPLE = 20e-3

# Of a longer call, waking threads is no part that counts: 0.1 ms.
_LONG_CALL = 2e-3


def timer_name(device: str = "cpu") -> str:
    """How seconds are taken on `device`, for the record: "perf_counter_ns" or "cuda events"."""
    if device not in TIMERS:
        raise ValueError(f"no timer for device {device!r}; there is one for {' and '.join(TIMERS)}")
    return TIMERS[device]


def sampler_for(device: str = "cpu") -> Sampler:
    """The function `(call, repeats) → seconds for all repeats together` on `device`.

    Raises ValueError: for a device without a timer.
    """
    return _on_cuda if timer_name(device) == "cuda events" else _on_cpu


def time_blocks(
    calls: Mapping[str, Call],
    *,
    device: str = "cpu",
    seed: int = 0,
    budget_seconds: float = 1.5,
    min_blocks: int = 3,
    max_blocks: int = 30,
    settle: bool = False,
    on_block: Callable[[int, int], None] | None = None,
) -> dict[str, list[float]]:
    """Time calls in shuffled blocks.

    A warm-up compiles each call, fills its caches and fixes its number of repeats, so that one sample lasts about 0.2 ms
    or more. Each block then takes one sample of every call, in a new random order: the time of all repeats divided by
    their number. A result is freed before the next repeat, which can use its memory; the processor's caches are not
    cleared.

    Args:
        calls: the timed work by name.
        device: "cpu" (`time.perf_counter_ns`) or "cuda" (CUDA events on the current stream).
        seed: of the order within the blocks.
        budget_seconds: how long all of this may take, warm-up included. A block that would not fit is not begun.
        min_blocks: taken even when the budget is spent.
        max_blocks: not exceeded even when the budget is not spent.
        settle: whether each sample of short calls begins with one that is not timed. On several threads, those of the
            call before may sleep by now, or still have the processors: what is timed is one call after another.
        on_block: called after each block with the number of blocks done and expected.

    Returns:
        Seconds per call: for each name one number per block, in the order of the blocks.

    Raises:
        ValueError: for a device without a timer, or fewer than one block, or a `min_blocks` above `max_blocks`.
    """
    sample = sampler_for(device)
    if not 1 <= min_blocks <= max_blocks:
        raise ValueError(f"min_blocks must be between 1 and max_blocks, not {min_blocks} and {max_blocks}")
    if not calls:
        return {}

    begin = time.perf_counter()
    shuffle = random.Random(seed).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)

    with _without_gc():
        for call in calls.values():
            sample(call, 1)
        repeats = {name: _repeats(sample, call) for name, call in calls.items()}

        settled = {name for name in calls if settle and sample(calls[name], 1) < _LONG_CALL}
        first_block = time.perf_counter()
        done, expected = 0, max_blocks
        while done < expected:
            shuffle(order)
            for name in order:
                if name in settled:
                    calls[name]()
                seconds[name].append(sample(calls[name], repeats[name]) / repeats[name])
            # Frees the calls' reference cycles between samples; older generations are left alone.
            gc.collect(0)
            done += 1

            now = time.perf_counter()
            fit = int((begin + budget_seconds - now) / ((now - first_block) / done))
            expected = max(done, min_blocks, min(max_blocks, done + fit))
            if on_block is not None:
                on_block(done, expected)
    return seconds


def _repeats(sample: Sampler, call: Call) -> int:
    """How many repeats of a warmed-up call make a sample that is long enough."""
    repeats = 1
    while True:
        took = sample(call, repeats)
        if took < _LONG_SAMPLE:
            took = min(took, sample(call, repeats), sample(call, repeats))
        if took >= SHORTEST_SAMPLE:
            return repeats
        # 10% more than this sample suggests, so that the next one is long enough; at most tenfold, since a sample far
        # below the goal is imprecise.
        growth = min(10.0, 1.1 * SHORTEST_SAMPLE / max(took, 1e-9))
        repeats = math.ceil(repeats * growth)


def _on_cpu(call: Call, repeats: int) -> float:
    rounds = range(repeats)
    begin = time.perf_counter_ns()
    for _ in rounds:
        call()
    return (time.perf_counter_ns() - begin) * 1e-9


def _on_cuda(call: Call, repeats: int) -> float:
    import torch

    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    # Nothing from before may still be running when the first event is recorded.
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) * 1e-3


@contextmanager
def _without_gc() -> Iterator[None]:
    """Disable the garbage collector: with torch imported one full pass takes 0.1 s."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
