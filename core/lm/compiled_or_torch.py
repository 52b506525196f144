"""Whether the kernels of `core/lm/numba` compute, or the PyTorch operations that they stand for: one switch for all."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from ..compiled.code import refuse_without_numba
from ..compiled.switch import are_wanted
from ..trial import Refused


def compiled(*tensors: Tensor) -> bool:
    """Whether the kernels can take all of these: float32 on the CPU, no autocast, Numba there, and the switch not off."""
    return (
        all(x.dtype == torch.float32 and x.device.type == "cpu" for x in tensors)
        and not torch.is_autocast_enabled("cpu")
        and are_wanted()
        and _numba_compiles()
    )


@cache
def _numba_compiles() -> bool:
    try:
        refuse_without_numba("a kernel")
    except Refused:
        return False
    return True
