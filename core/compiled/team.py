"""Teams of threads for compiled code: torch's own, or ours. For `shares.in_shares`, which says what a team does.

torch's threads of OpenMP wait actively for some milliseconds after each operation, as long as nobody forbids it
(OMP_WAIT_POLICY), and have the processors meanwhile; so they are the ones to work, through the function that compiled
C code calls, GOMP_parallel, of the very library that torch runs on. Where they sleep between operations, or torch has another
library, the threads are ours: see pool.py.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock, Thread

AWAKE = 100_000
"""How long our threads look for more work before they sleep, in ns: about as long as it takes to wake one."""


def team(threads: int, *, wake: bool = True) -> int:
    """So many threads, the calling one among them, as compiled code knows them; 0 for one.

    Args:
        wake: whether the work is worth waking ours, should they sleep; those that are awake take part anyway.
    """
    if threads <= 1:
        return 0
    return _teams.get((threads, wake)) or _new(threads, wake)


_teams: dict[tuple[int, bool], int] = {}
_kept: list[object] = []
_lock = Lock()


def _new(threads: int, wake: bool) -> int:
    if os.name != "posix":
        return 0
    with _lock:
        parallel, pool = _of_torch(), 0
        if not parallel:
            from .pool import PARALLEL

            parallel, pool = PARALLEL, _pool().with_threads(threads - 1)
        words = (ctypes.c_int64 * 4)(parallel, threads, pool, wake)  # as shares.py and pool.py read them
        _kept.append(words)
        return _teams.setdefault((threads, wake), ctypes.addressof(words))


def _of_torch() -> int:
    """The address of GOMP_parallel where torch's threads wait actively, else 0."""
    return 0 if _forked_among_threads or _waits_passively() else _gomp_parallel()


def _waits_passively() -> bool:
    return os.environ.get("OMP_WAIT_POLICY", "").strip().upper() == "PASSIVE"


@cache
def _gomp_parallel() -> int:
    """Of the OpenMP library that torch is linked with: GNU's has it, and LLVM's and Intel's for its sake."""
    import torch

    if "ATen parallel backend: OpenMP" not in torch.__config__.parallel_info():
        return 0
    for library in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        with suppress(OSError, AttributeError):  # looks through what the library is linked with, too
            return ctypes.cast(ctypes.CDLL(str(library)).GOMP_parallel, ctypes.c_void_p).value or 0
    return 0


@dataclass
class _Pool:
    """Memory and threads of pool.py; none of them ends before the process."""

    words: ctypes.Array[ctypes.c_int64]
    rooms: list[ctypes.Array[ctypes.c_int64]] = field(default_factory=list)

    def with_threads(self, threads: int) -> int:
        """Its address, once it has at least so many."""
        from .pool import serve

        address = ctypes.addressof(self.words)
        while len(self.rooms) < threads:
            room = (ctypes.c_int64 * 16)()
            serve.compile("void(int64, int64)")  # here, since a daemon may be cut off
            self.rooms.append(room)
            given = address, ctypes.addressof(room)
            Thread(target=serve, args=given, name="kernel", daemon=True).start()
        return address


@cache
def _pool() -> _Pool:
    from . import pool

    words = (ctypes.c_int64 * (pool.SIZE // 8))()
    # Linux moves who is woken by a pipe to the processor of the waker, who is taken to have finished; there both would stay.
    if hasattr(os, "eventfd"):
        reading = writing = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
    else:
        reading, writing = os.pipe()
    for at, value in (
        (pool.READ, reading),
        (pool.WRITE, writing),
        (pool.ONE, 1),
        (pool.CLOCK, time.CLOCK_MONOTONIC),
        (pool.AWAKE, AWAKE),
    ):
        words[at // 8] = value
    return _Pool(words)


_forked_among_threads = False
"""Whether this process has lost threads of torch in a fork: GNU's OpenMP would wait for them for ever."""


def _before_fork() -> None:
    global _forks_threads
    # Only Linux tells; elsewhere OpenMP is LLVM's, which looks after its threads itself.
    with suppress(OSError):
        _forks_threads = len(os.listdir("/proc/self/task")) > 1


def _after_fork() -> None:
    """A forked process has the memory of its parent, but none of the threads."""
    global _forked_among_threads, _lock
    _forked_among_threads, _lock = _forked_among_threads or _forks_threads, Lock()
    _teams.clear()
    _pool.cache_clear()


_forks_threads = False
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
