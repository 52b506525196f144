"""Loads Numba, where installed, in the server of trial processes: each of several hundred trials would otherwise load it."""

from ...compiled.awake import wake_numba

if wake_numba():
    from . import regret  # noqa: F401
