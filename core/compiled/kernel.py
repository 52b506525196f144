"""Numba's compiler as all kernels use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from .code import code_kept

inlined: Callable[..., Any] = njit(nogil=True, error_model="numpy", fastmath=False)
"""Compiles what only compiled code calls, and as a part of it.

`fastmath` is said, since unsaid it is that of whoever calls first in this process: sums taken in any order would then make
0 of the (x + R) − R that `exponential.exp2` rounds with.
"""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on the first call, or load what an earlier process has compiled; runs without Python's lock.

    The code is kept by the digest of the files in the function's folder and in this one.
    """
    with code_kept(Path(function.__code__.co_filename).parent):
        return njit(function, nogil=True, error_model="numpy", fastmath=False, cache=True)
