"""Loads Numba, where installed, and the kernels in the server of trial processes.

Each of some two hundred trials would otherwise take half a second to import them.
"""

from contextlib import suppress

with suppress(ImportError):
    from .numba import columns, tensors  # noqa: F401

    tensors.kernels()
