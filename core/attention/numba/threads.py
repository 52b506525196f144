"""Compiled code on as many threads as torch has been given; it runs without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_pools: dict[int, ThreadPoolExecutor] = {}


def on_threads(work: Callable[[int], object], threads: int) -> None:
    """Call `work(0)` … `work(threads − 1)` at once, the first of them on the thread that asks.

    Raises:
        Exception: what one of them has raised.
    """
    if threads <= 1:
        work(0)
        return
    if threads not in _pools:
        # Kept: a new thread costs about as much as the shortest attention.
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="flash-numba")
    others = [_pools[threads].submit(work, index) for index in range(1, threads)]
    work(0)
    for other in others:
        other.result()


# A forked process has the pools but not their threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)
