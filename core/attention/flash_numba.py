"""The door to the compiled kernels: Numba is imported by the first call, and its absence is said in one line."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import torch
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


FASTER_FROM = 512
"""Keys from which it was faster in every shape that was measured, in float32 with AVX-512: than PyTorch's kernel, and with
what that lacks (caps, sinks, windows, ALiBi, seeded dropout) than `flash`, 1.7 to 2.4 times on one thread."""


def is_faster(q: Tensor, k: Tensor, v: Tensor, options: Options) -> bool:
    """Whether it is known to be faster than all others, and has its code already, so that nothing is compiled."""
    loaded = sys.modules.get(f"{__package__}.numba.backend")
    if loaded is None or q.device.type != "cpu" or q.dtype != torch.float32:
        return False
    given = (q, k, v) if options.sink is None else (q, k, v, options.sink)
    gradients = torch.is_grad_enabled() and any(x.requires_grad for x in given)
    known = options.attn_mask is None and min(q.shape[2], k.shape[2]) >= FASTER_FROM
    return known and bool(loaded.is_warm(gradients=gradients))
