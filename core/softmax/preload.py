"""Loads Numba, where installed, and the kernels in the server of trial processes.

Each of some two hundred trials would otherwise take a second to load them.
"""

from ..compiled.awake import wake_numba

if wake_numba():
    from .numba import columns, tensors  # noqa: F401

    tensors.kernels()
