"""Loads Numba in a process from which others are forked, with all that a first call loads besides: 0.4 s for each of them."""

from __future__ import annotations

from contextlib import suppress


def wake_numba() -> bool:
    """Load Numba and its compiler's tables; starts no thread. Returns whether it is there, and compiles."""
    from ..trial import Refused
    from .code import refuse_without_numba

    try:
        refuse_without_numba("this")
    except Refused:
        return False
    with suppress(ImportError, AttributeError):  # of another version: then the first call loads them
        from numba.core.registry import cpu_target

        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
    return True
