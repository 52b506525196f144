"""Numba's store of compiled code on disk: for several processes at once, for disks that are full or have lost something."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache

from .code import code_kept


def keep(made: Any, function: Callable[..., Any]) -> Any:
    """Let what Numba has made of a function keep its code in the folder of its module, see `code.code_kept`.

    Where no folder can be written each process compiles for itself.
    """
    if made is not function:  # as NUMBA_DISABLE_JIT leaves it
        with suppress(RuntimeError, OSError), code_kept(function.__module__):
            made._cache = _Kept(function)  # type: ignore[no-untyped-call]
    return made


class _Kept(FunctionCache):
    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # whatever a damaged file makes of its reader: compiled anew, and replaced
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Numba reads the index, adds a line and writes it back. Of two processes that do so at once, for two types of one
        function, both would write to one file, and one type would then run the other's code."""
        from filelock import FileLock

        # A full disk, or one without locks: the kernel runs all the same.
        with suppress(OSError, NotImplementedError), FileLock(Path(self.cache_path) / "index.lock"):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
