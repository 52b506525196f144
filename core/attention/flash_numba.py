"""The door to the compiled kernels: Numba is imported by the first call, and its absence is said in one line."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from torch import Tensor

from ..trial import Refused
from .arguments import Options


def flash_numba(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """`numba.backend.flash_numba`.

    Raises:
        Refused: Numba is not installed, or what that refuses.
    """
    if find_spec("numba") is None:
        raise Refused("flash-numba needs Numba: pip install numba")
    from .numba.backend import flash_numba as kernel

    return kernel(q, k, v, options)


def is_warm(*, backward: bool) -> bool:
    """Whether this process has its code already, so that a call would not compile."""
    loaded = sys.modules.get(f"{__package__}.numba.backend")
    return loaded is not None and bool(loaded.is_warm(backward_too=backward))
