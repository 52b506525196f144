"""Keeps freed pages mapped, so that timings exclude page faults."""

from __future__ import annotations

import ctypes

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_pages() -> bool:
    """Make glibc keep freed memory, so that the next allocation of the same size finds its pages mapped.

    By default a freed result of some megabytes goes back to the system or stays, depending on what was freed before it,
    so the next call may pay for page faults: with results of 8 MB the same softmax took 4.8 ms in one call and 10 ms in
    the next, and a variant paid for its predecessor; a training step spends a tenth of its time on faults. Do not call
    this where memory is measured: the process grows to the sum of what it needed at once.

    Returns: whether the C library can do so; with another one nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    except (OSError, TypeError, AttributeError):
        return False
    # No mappings of their own for large blocks, and a heap that is never cut back.
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
