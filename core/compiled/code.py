"""How Numba compiles, and where the compiled code is kept. Numba itself is imported by the first kernel that is called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..cache_folder import cache_folder
from ..own_files import digest_of_files
from ..trial import Refused


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


_COMMON = Path(__file__).parent


def code_folder(sources: Path) -> Path:
    """The folder for the compiled code of the Python files in a folder; its name has their digest, and that of the files here.

    Numba compares the age of a function's own file alone, not of the files of what it calls; with the digest, a change
    in any of them compiles anew. (Numba itself checks the processor and its own version.)
    """
    digests = [digest_of_files(folder, folder.glob("*.py")) for folder in (_COMMON, sources)]
    return cache_folder() / "numba" / "-".join(digests)


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
