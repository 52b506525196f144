"""Numba's compiler, with compiled code kept in the user's cache folder and not beside the source.

Numba looks at the age of the one file in which a function stands. What that function calls stands in others here, so
the folder's name has a digest of all of them: a changed file compiles anew. (Of the processor and its own version
Numba takes care itself.)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

_settings: Any = numba.config

inlined: Callable[..., Any] = njit(nogil=True, error_model="numpy")
"""Compiles what only compiled code calls, and as a part of it."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on the first call, or load what an earlier process has compiled; runs without Python's lock."""
    before = _settings.CACHE_DIR
    # It is read once, when a function is given its cache. Other people's functions keep theirs.
    _settings.CACHE_DIR = str(folder())
    try:
        return njit(function, nogil=True, error_model="numpy", cache=True)
    finally:
        _settings.CACHE_DIR = before


def folder() -> Path:
    """Where compiled code is kept: below $LAB_CACHE or the user's cache folder, as all that lab makes once."""
    home = Path(
        os.environ.get("LAB_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lab"
    )
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return home / "numba" / f"attention-{digest.hexdigest()[:12]}"
