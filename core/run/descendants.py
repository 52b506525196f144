"""Ends every process that a trial leaves behind, by ties that the kernel keeps (Linux only).

A trial may sit in compiled code that never lets Python run, and what it starts may move into a session of its own. So
the kernel is asked to end a child with its parent, and to give a process the children of its children once these have
ended. Runner, server and trial each adopt: whatever a trial leaves behind falls to the server (or the runner), who
ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PATIENCE = 1.0  # seconds for the killed to be gone; one that waits for a disk may take longer


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this signal to this process when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt() -> None:
    """Become the parent of the children of this process's children when these end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(of: int) -> list[int]:
    """The children of a process; none on systems without /proc."""
    found: list[int] = []
    for path in Path(f"/proc/{of}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def end_children(of: int, but: Collection[int] = ()) -> None:
    """Kill the children of a process that has called `adopt`, except some, and the orphans that it gets by that."""
    until = time.monotonic() + _PATIENCE
    while (strays := [child for child in children(of) if child not in but]) and time.monotonic() < until:
        for child in strays:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
            if of == os.getpid():
                with suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)
        time.sleep(0.001)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        zero = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), zero, zero, zero)
