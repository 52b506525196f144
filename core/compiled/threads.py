"""Work on several threads, for compiled code that releases Python's global lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

_Turns = Callable[[], None]
_waiting: dict[int, SimpleQueue[_Turns]] = {}
"""The queues of idle threads, by number of threads: starting a thread costs about as much as the shortest kernel."""


def on_threads(work: Callable[[int], object], threads: int, owned: object = None) -> None:
    """Call `work(0)` … `work(threads − 1)` at once, the first on the calling thread.

    For work that releases Python's global lock. The calling thread then also does the calls that no other thread has
    begun: a thread may take longer to wake than a short kernel takes.

    Args:
        owned: objects that `work` knows only by address. They are kept until the last thread is done, even if the
            caller is interrupted and does not wait.

    Raises:
        Exception: an error of any call.
    """
    if threads <= 1:
        work(0)
        return
    if threads not in _waiting:
        _waiting[threads] = SimpleQueue()
        for _ in range(1, threads):
            Thread(target=_serve, args=(_waiting[threads],), name="kernel", daemon=True).start()
    left = deque(range(1, threads))
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def turns(_owned: object = owned) -> None:
        while left:
            try:
                index = left.popleft()
            except IndexError:  # another was quicker
                return
            try:
                work(index)
            except BaseException as error:
                ended.put(error)
            else:
                ended.put(None)

    for _ in range(1, threads):
        _waiting[threads].put(turns)
    try:
        work(0)
        turns()
    finally:
        # After an error no call begins, but those begun are waited for, since they use the caller's memory.
        begun = threads - 1
        while left:
            try:
                left.popleft()
            except IndexError:
                break
            begun -= 1
        errors = [ended.get() for _ in range(begun)]
    for error in errors:
        if error is not None:
            raise error


def _serve(waiting: SimpleQueue[_Turns]) -> None:
    while True:
        waiting.get()()


# A forked process has the queues but not their threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
