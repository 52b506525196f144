"""Numba and the kernels, where there is a Numba: the server of trial processes has all modules of a subject loaded.

Each trial would take half a second to import them anew, and there are some two hundred that do.
"""

from contextlib import suppress

with suppress(ImportError):
    from .numba import columns, tensors  # noqa: F401

    tensors.kernels()
