"""Work on all cores by forked processes, for what writes files and returns nothing."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from ..measure.machine import usable_cores

One = TypeVar("One")


def side_by_side(work: Callable[[One], None], on: Sequence[One]) -> None:
    """work(x) for each x, in as many processes as there are cores.

    Where processes cannot be forked safely, as on macOS, or one of them fails, the rest is done here, with its error.
    """
    processes = max(1, min(usable_cores(), len(on)) if sys.platform == "linux" else 1)
    shares = [on[first::processes] for first in range(1, processes)]
    children: list[int] = []
    try:
        with suppress(OSError):  # no more processes, or no memory for one
            children.extend(_forked(work, share) for share in shares)
        for each in on[::processes]:
            work(each)
    finally:
        done = [_ended_well(child) for child in children]
    done += [False] * (len(shares) - len(done))
    for well, share in zip(done, shares, strict=True):
        for each in () if well else share:
            work(each)


def _ended_well(child: int) -> bool:
    try:
        return os.waitpid(child, 0)[1] == 0
    except ChildProcessError:  # where SIGCHLD is ignored nobody knows
        return False


def _forked(work: Callable[[One], None], share: Sequence[One]) -> int:
    with warnings.catch_warnings():
        # Of other threads, such as the one that shows that this takes a while: nothing of theirs is used in the child.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        # A spinner on a terminal has put its own in their place, whose lock another thread may hold.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        try:
            for each in share:
                work(each)
            code = 0
        finally:
            os._exit(code)  # nothing buffered is written twice, and nothing at exit is run
    return child
