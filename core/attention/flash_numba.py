"""The entry to the compiled kernels: the first call imports Numba, and without it raises `Refused` in one line."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from ..addresses import are_functional, have_addresses, refuse_tangents
from ..compiled.code import refuse_without_numba
from ..trial import Refused
from .arguments import Options
from .dropout import seeded
from .operator import flash_numba_operator


def flash_numba(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """`numba.backend.flash_numba`; where that cannot be given addresses, the operator of it.

    Raises Refused: Numba is not installed, or what that refuses.
    """
    options, given = seeded(options), (q, k, v, *options.tensors.values())
    refuse_tangents("flash-numba", "standard", *given)
    if not have_addresses(*given):
        if are_functional(*given):
            raise Refused("flash-numba has no derivative by torch.func; it is in standard, flash")
        return flash_numba_operator(q, k, v, options)
    found: tuple[Tensor, Tensor] = backend().flash_numba(q, k, v, options)
    return found


@cache
def backend() -> ModuleType:
    """The module of the kernels. Raises Refused: there is no Numba."""
    refuse_without_numba("flash-numba")
    from .numba import backend as found

    return found


FASTER_FROM = 512
"""Keys from which it was faster in the shapes that were measured (benchmarks/attention.py), in float32 with AVX-512 and AVX2:
than PyTorch's kernel, also with a boolean mask, and with what that lacks (caps, sinks, windows, ALiBi, seeded dropout) than
`flash`."""


def is_faster(q: Tensor, k: Tensor, v: Tensor, options: Options) -> bool:
    """Whether it is known to be faster than all others, and has its code already, so that nothing is compiled.

    Not under torch.compile, whose compiler knows PyTorch's own kernel.
    """
    given = (q, k, v, *options.tensors.values())
    if q.device.type != "cpu" or q.dtype != torch.float32 or not have_addresses(*given):
        return False
    loaded = sys.modules.get(f"{__package__}.numba.backend")
    if loaded is None:
        return False
    wants = torch.is_grad_enabled() and any(x.requires_grad for x in given)
    mask = options.attn_mask
    known = (mask is None or mask.dtype == torch.bool) and min(q.shape[2], k.shape[2]) >= FASTER_FROM
    return known and bool(loaded.is_warm(gradients=wants))
