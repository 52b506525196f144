"""Where half precision is too coarse to compute in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def wide(x: Tensor) -> Tensor:
    """x in float32 if it is in half precision: log-probs of −8 in bfloat16 are 0.03 apart."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def precise(loss: Callable[P, R]) -> Callable[P, R]:
    """The same function without autocast, which would take its products back to half precision.

    Near agreement a loss is a difference of numbers that agree in more digits than bfloat16 has.
    """

    @wraps(loss)
    def outside(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return loss(*args, **kwargs)

    return outside
