"""Numba's compiler as all kernels use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numba import njit

from .kept import keep

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
"""`fastmath` is said, since unsaid it is that of whoever calls first in this process: sums taken in any order would then make
0 of the (x + R) − R that `exponential.exp2` rounds with."""
_inside: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inlined: Callable[..., Any] = njit(**_inside)
"""Compiles what only compiled code calls, and as a part of it."""
always_inlined: Callable[..., Any] = njit(inline="always", **_inside)
"""As `inlined`, for what is called in one place: a long function is then compiled once, and not once by itself as well."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on the first call, or load what an earlier process has compiled; runs without Python's lock.

    The code is kept by a digest of its module and of all of ours that this imports.
    """
    return keep(njit(function, **_OPTIONS), function)


@dataclass
class Share:
    """Compiled code for `shares.on_team`: a C function (index of a share, address of what it works with); raises nothing.

    Attributes:
        at: address of the code, 0 before it is compiled or loaded.
    """

    function: Callable[[int, int], None]
    at: int = 0
    compiled: Any = None

    def address(self) -> int:
        """Compile on the first call, or load, as a `kernel`."""
        if not self.at:
            # Of two threads that come first each compiles its own.
            at, self.compiled = c_function(self.function, "void(int64, int64)")
            self.at = at
        return self.at


def c_function(function: Callable[..., None], signature: str) -> tuple[int, Any]:
    """The address of a function of C, compiled or loaded as a `kernel`, and what keeps its code."""
    compiled = kernel(function)
    compiled.compile(signature)
    (made,) = compiled.overloads.values()
    return made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name), compiled
