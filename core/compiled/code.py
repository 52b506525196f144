"""How Numba compiles, and where the compiled code is kept. Numba itself is imported by the first kernel that is called."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..cache_folder import cache_folder, temporary_cache_folder
from ..source_digest import source_digest
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


def code_folder(module: str) -> Path:
    """The folder for the compiled code of a module of ours; its name has a digest of the module and of all that it imports.

    Numba compares the age of a function's own file alone, not of the files of what it calls; with the digest, a change
    in any of them, be it of a constant in another folder, compiles anew. (Numba itself checks the processor and its own
    version.) For a module elsewhere the digest is that of the files here.

    Where the cache folder cannot be written, it is in the temporary one: else each of a run's processes would compile.
    """
    ours = module if module.startswith("lab.core.") else f"{__package__}.kernel"
    below = Path("numba") / source_digest(ours)[:24]
    try:
        (folder := cache_folder() / below).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return folder
    except OSError:
        return temporary_cache_folder() / below


@contextmanager
def code_kept(module: str) -> Iterator[None]:
    """Inside, Numba's `cache=True` means the module's `code_folder`, or $NUMBA_CACHE_DIR; other functions are not affected."""
    import numba

    settings: Any = numba.config
    before = settings.CACHE_DIR  # read when a function is decorated, and only then
    if not os.environ.get("NUMBA_CACHE_DIR"):
        settings.CACHE_DIR = str(code_folder(module))
    try:
        yield
    finally:
        settings.CACHE_DIR = before
