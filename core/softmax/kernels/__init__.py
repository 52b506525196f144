"""Softmax in Numba: loops over rows that the compiler turns into vector instructions. Imported on demand.

What is compiled on first use is kept in the cache folder, and a later process loads it in milliseconds. Numba would
notice a change of the file that a kernel stands in, but not of one that it calls into, so the folder is named by all
of them together.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numba

from ...cache_folder import cache_folder


def _folder() -> Path:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return cache_folder() / "numba" / digest.hexdigest()[:16]


_config: Any = numba.config
_before = _config.CACHE_DIR
if not os.environ.get("NUMBA_CACHE_DIR"):
    _config.CACHE_DIR = str(_folder())  # read where a function is decorated, that is in the imports below
try:
    from . import rows, topk, two_pass
finally:
    _config.CACHE_DIR = _before

__all__ = ["rows", "topk", "two_pass"]
