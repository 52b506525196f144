"""The alternatives by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...suggest import did_you_mean
from ...trial import Refused
from .. import operations
from . import scaled, sinks, sparse, truths, unnormalised

Form = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Alternative:
    """One function, called as f(x, dim=-1).

    Attributes:
        function: of logits of any shape and dtype.
        truth: of logits in float64, by another way than `function`.
        plain: the same way in x's dtype, or in float32 for halves: how exact one expects the function to be.
    """

    function: Callable[..., Tensor]
    truth: Form
    plain: Form

    def __call__(self, x: Tensor, dim: int = -1) -> Tensor:
        return self.function(x, dim)


def _alternative(function: Callable[..., Tensor], definition: Callable[[Tensor], Tensor]) -> Alternative:
    """`definition` takes logits whose last dimension is the row."""

    def truth(x: Tensor, dim: int) -> Tensor:
        return definition(x.movedim(dim, -1)).movedim(-1, dim)

    def plain(x: Tensor, dim: int) -> Tensor:
        return truth(x.to(operations.accumulator(x.dtype)), dim).to(x.dtype)

    return Alternative(function, truth, plain)


ALTERNATIVES: dict[str, Alternative] = {
    "softmax": Alternative(operations.safe, torch.softmax, torch.softmax),
    "softmax1": _alternative(sinks.softmax1, truths.softmax1),
    "sink": _alternative(sinks.sink, truths.sink),
    "ssmax": _alternative(scaled.ssmax, truths.ssmax),
    "softcapped": _alternative(scaled.softcapped, truths.softcapped),
    "sparsemax": _alternative(sparse.sparsemax, truths.sparsemax),
    "entmax15": _alternative(sparse.entmax15, truths.entmax15),
    "sigmoid": _alternative(unnormalised.sigmoid, truths.sigmoid),
    "softpick": _alternative(unnormalised.softpick, truths.softpick),
}
"""Softmax itself stands first, to be compared with."""


def find(name: str) -> Alternative:
    """Raises:
    Refused: there is none; the message names the nearest and all that there are.
    """
    if name in ALTERNATIVES:
        return ALTERNATIVES[name]
    hint = did_you_mean(name, ALTERNATIVES)
    raise Refused(f"no alternative {name!r}.{hint} There are: {', '.join(ALTERNATIVES)}")
