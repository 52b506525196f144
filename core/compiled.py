"""What all kernels that Numba compiles have in common: where their code is kept, and how they use several threads.

Numba itself is imported by the first kernel that is called.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .cache_folder import cache_folder


def code_folder(sources: Path) -> Path:
    """Where the code compiled of the files in a folder is kept.

    Numba looks at the age of the one file in which a function stands, not at those of what it calls. The digest of all
    of them is in the name: a changed file compiles anew. (The processor and its own version Numba looks at itself.)
    """
    digest = hashlib.sha256()
    for source in sorted(sources.glob("*.py")):
        digest.update(source.read_bytes())
    return cache_folder() / "numba" / digest.hexdigest()[:16]


@contextmanager
def code_kept(sources: Path) -> Iterator[None]:
    """Functions given a cache inside keep it in `code_folder`, or where $NUMBA_CACHE_DIR says; those of others do not."""
    import numba

    settings: Any = numba.config
    before = settings.CACHE_DIR  # it is read where a function is decorated, and at no other time
    if not os.environ.get("NUMBA_CACHE_DIR"):
        settings.CACHE_DIR = str(code_folder(sources))
    try:
        yield
    finally:
        settings.CACHE_DIR = before


_pools: dict[int, ThreadPoolExecutor] = {}


def on_threads(work: Callable[[int], object], threads: int) -> None:
    """Call `work(0)` … `work(threads − 1)` at once, the first of them on the thread that asks.

    For work that lets go of Python's lock.

    Raises:
        Exception: what one of them has raised.
    """
    if threads <= 1:
        work(0)
        return
    if threads not in _pools:
        # Kept: a new thread costs about as much as the shortest kernel.
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="kernel")
    others = [_pools[threads].submit(work, index) for index in range(1, threads)]
    work(0)
    for other in others:
        other.result()


# A forked process has the pools but not their threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)
