"""Several threads that begin at the same moment, and the seconds until the last of them is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread


def seconds_together(work: Callable[[int, int], object], threads: int) -> float:
    """Seconds from the arrival of the last thread to the end of the last one.

    Args:
        work: called with the number of a thread and the address of a counter, at which its compiled code waits for the
            others (`loops`) without Python's lock.
    """
    import numpy as np

    counter = np.zeros(1, np.int64)
    begun, ended = [0.0] * threads, [0.0] * threads

    def one(number: int) -> None:
        begun[number] = time.perf_counter()
        work(number, counter.ctypes.data)
        ended[number] = time.perf_counter()

    others = [Thread(target=one, args=(number,), daemon=True) for number in range(1, threads)]
    for other in others:
        other.start()
    one(0)
    for other in others:
        other.join()
    return max(ended) - max(begun)
