"""Numba's compiler as all kernels use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from .kept import keep

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_inside: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inlined: Callable[..., Any] = njit(**_inside)
"""Compiles what only compiled code calls, and as a part of it."""
pasted: Callable[..., Any] = njit(inline="always", **_inside)
"""As `inlined`, for what is called in one place: a long function is then compiled once, and not once by itself as well."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on the first call, or load what an earlier process has compiled; runs without Python's lock.

    The code is kept by a digest of its module and of all of ours that this imports.
    """
    return keep(njit(function, **_OPTIONS), function)
