"""Whether the machine is busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import psutil

# Ten ticks of the kernel's clock, which measure the use of other processes to about a tenth of a core.
_WATCH_SECONDS = 0.1
# What an idle desktop uses.
_QUIET = 0.3


def load_note(threads: int) -> str | None:
    """A sentence if other processes disturb work on `threads` threads, else None.

    They do if they leave less than half a core free beside the work, or use more than half of the machine, whose caches and
    memory are shared. Watches for 0.1 s. Other virtual machines on the same host count as far as the kernel reports them
    ("steal").
    """
    others = used_by_others()
    time.sleep(_WATCH_SECONDS)
    return busy_note(others(), threads)


def busy_note(others: float, threads: int) -> str | None:
    """The sentence of `load_note` for other processes that use so many cores."""
    cores = psutil.cpu_count() or 1
    if not disturbs(others, threads, cores):
        return None
    return f"busy: other processes use {min(others, cores):.1f} of {cores} cores; timings will be noisier"


def disturbs(others: float, threads: int, cores: int) -> bool:
    """Whether processes that use `others` of `cores` cores disturb work on `threads` threads."""
    return others >= _QUIET and (cores - others < threads + 0.5 or others > cores / 2)


def used_by_others() -> Callable[[], float]:
    """A function that returns the cores that other processes have used since this call, on average."""
    all_before, own_before, begin = _busy_seconds(), _own_seconds(), time.perf_counter()

    def since() -> float:
        everything, own = _busy_seconds() - all_before, _own_seconds() - own_before
        return max(0.0, everything - own) / (time.perf_counter() - begin)

    return since


def _own_seconds() -> float:
    """Of this process and those it has started, as the one that loads torch for all trials while a run begins."""
    me, seconds = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended
            seconds += sum(process.cpu_times()[:2])
    return seconds


def _busy_seconds() -> float:
    """Seconds that all cores together have been busy since the machine started."""
    times = psutil.cpu_times()._asdict()
    # A guest's time is in "user" already.
    idle = ("idle", "iowait", "guest", "guest_nice")
    return float(sum(spent for name, spent in times.items() if name not in idle))
