"""What all kernels that Numba compiles have in common: where their code is kept, and how they use several threads.

Numba itself is imported by the first kernel that is called.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from .cache_folder import cache_folder
from .trial import Refused


def refuse_without_numba(name: str) -> None:
    """Raise Refused in the name of a kernel unless Numba is there, and compiles."""
    if find_spec("numba") is None:
        raise Refused(f"{name} needs Numba: pip install numba")
    try:
        import numba
    except ImportError as error:  # of what it needs itself, or a NumPy that it does not know
        raise Refused(f"{name} needs Numba, which cannot be imported: {error}") from error
    settings: Any = numba.config
    if settings.DISABLE_JIT:
        raise Refused(f"{name} needs Numba's compiler, which NUMBA_DISABLE_JIT turns off")


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


_Turns = Callable[[], None]
_waiting: dict[int, SimpleQueue[_Turns]] = {}
"""By number of threads, where those that are kept wait: a new one costs about as much as the shortest kernel."""


def on_threads(work: Callable[[int], object], threads: int, owned: object = None) -> None:
    """Call `work(0)` … `work(threads − 1)` at once, the first of them on the thread that asks.

    For work that lets go of Python's lock. What no other thread has begun when the first is done, that one does too:
    a thread may take longer to wake than a short kernel takes.

    `owned` is what `work` knows only by its address. It stays until the last thread is done, even where whoever asked is
    interrupted and waits no longer.
    Raises Exception: what one of them has raised.
    """
    if threads <= 1:
        work(0)
        return
    if threads not in _waiting:
        _waiting[threads] = SimpleQueue()
        for _ in range(1, threads):
            Thread(target=_serve, args=(_waiting[threads],), name="kernel", daemon=True).start()
    left = deque(range(1, threads))
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def turns(_owned: object = owned) -> None:
        while left:
            try:
                index = left.popleft()
            except IndexError:  # another was quicker
                return
            try:
                work(index)
            except BaseException as error:
                ended.put(error)
            else:
                ended.put(None)

    for _ in range(1, threads):
        _waiting[threads].put(turns)
    try:
        work(0)
        turns()
    finally:
        # After an error nothing more is begun; what was begun is waited for, since it uses the caller's memory.
        begun = threads - 1
        while left:
            try:
                left.popleft()
            except IndexError:
                break
            begun -= 1
        errors = [ended.get() for _ in range(begun)]
    for error in errors:
        if error is not None:
            raise error


def _serve(waiting: SimpleQueue[_Turns]) -> None:
    while True:
        waiting.get()()


# A forked process has the queues but not the threads behind them, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
