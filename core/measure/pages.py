"""Keeps freed pages mapped, so that timings exclude page faults."""

from __future__ import annotations

import ctypes

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_pages() -> bool:
    """Let glibc keep freed memory, so that an allocation of a size seen before gets pages that are there already.

    By default a freed result of some megabytes goes back to the system or not, depending on what was freed before it,
    and the next call finds its pages or faults them in anew: with results of 8 MB the same softmax took 4.8 ms or
    10 ms from one call to the next, and a variant was charged for its predecessor; a step of training spends a tenth of
    its time on faults. Not where memory is measured: a process grows to the sum of all that it needed at once.

    Returns:
        Whether the C library knows how; elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    except (OSError, TypeError, AttributeError):
        return False
    # No mappings of their own for large blocks, and a heap that is never cut back.
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
