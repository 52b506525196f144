"""Work on all cores by forked processes, for what writes files and returns nothing."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..measure.machine import usable_cores

One = TypeVar("One")


def side_by_side(work: Callable[[One], None], on: Sequence[One]) -> None:
    """work(x) for each x, in as many processes as there are cores.

    Where processes cannot be forked safely, as on macOS, or one of them fails, the rest is done here, with its error.
    """
    processes = max(1, min(usable_cores(), len(on)) if sys.platform == "linux" else 1)
    shares = [on[first::processes] for first in range(1, processes)]
    children = [_forked(work, share) for share in shares]
    try:
        for each in on[::processes]:
            work(each)
    finally:
        codes = [os.waitpid(child, 0)[1] for child in children]
    for code, share in zip(codes, shares, strict=True):
        for each in share if code else ():
            work(each)


def _forked(work: Callable[[One], None], share: Sequence[One]) -> int:
    with warnings.catch_warnings():
        # Of other threads, such as the one that shows that this takes a while: nothing of theirs is used in the child.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        try:
            for each in share:
                work(each)
            code = 0
        finally:
            os._exit(code)  # nothing buffered is written twice, and nothing at exit is run
    return child
