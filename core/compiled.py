"""Shared by all Numba kernels: the folder of their compiled code, and the threads that run them.

Numba itself is imported by the first kernel that is called.
"""

from __future__ import annotations

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
from .own_files import digest_of_files
from .trial import Refused


def refuse_without_numba(name: str) -> None:
    """Raise Refused, naming the kernel, unless Numba is installed and compiles."""
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
    """The folder for the compiled code of the Python files in a folder; its name has their digest.

    Numba compares the age of a function's own file alone, not of the files of what it calls; with the digest, a change
    in any of them compiles anew. (Numba itself checks the processor and its own version.)
    """
    return cache_folder() / "numba" / digest_of_files(sources, sources.glob("*.py"))


@contextmanager
def code_kept(sources: Path) -> Iterator[None]:
    """Inside, Numba's `cache=True` means `code_folder`, or $NUMBA_CACHE_DIR; other functions are not affected."""
    import numba

    settings: Any = numba.config
    before = settings.CACHE_DIR  # read when a function is decorated, and only then
    if not os.environ.get("NUMBA_CACHE_DIR"):
        settings.CACHE_DIR = str(code_folder(sources))
    try:
        yield
    finally:
        settings.CACHE_DIR = before


_Turns = Callable[[], None]
_waiting: dict[int, SimpleQueue[_Turns]] = {}
"""The queues of idle threads, by number of threads: starting a thread costs about as much as the shortest kernel."""


def on_threads(work: Callable[[int], object], threads: int, owned: object = None) -> None:
    """Call `work(0)` … `work(threads − 1)` at once, the first on the calling thread.

    For work that releases Python's global lock. The calling thread then also does the calls that no other thread has
    begun: a thread may take longer to wake than a short kernel takes.

    Args:
        owned: objects that `work` knows only by address. They are kept until the last thread is done, even if the
            caller is interrupted and does not wait.

    Raises:
        Exception: an error of any call.
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
        # After an error no call begins, but those begun are waited for, since they use the caller's memory.
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


# A forked process has the queues but not their threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
