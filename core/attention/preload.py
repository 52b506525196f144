"""Loads the checks and the kernels in the server of trial processes, besides the modules of this folder.

Each trial would otherwise load them.
"""

from __future__ import annotations

from ..compiled.awake import wake_numba
from .checks import battery  # noqa: F401

if wake_numba():
    from .numba import backend  # noqa: F401
