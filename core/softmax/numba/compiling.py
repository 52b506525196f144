"""Numba's compiler as the kernels here use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from ...compiled import code_kept


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on the first call, or load what an earlier process has compiled; runs without Python's lock."""
    with code_kept(Path(__file__).parent):
        return njit(function, nogil=True, error_model="numpy", cache=True)
