"""The truth as a teacher: called like a model, it returns the true log-probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .truth import Truth


@dataclass(frozen=True, eq=False)
class Oracle:
    """Token ids (batch, tokens), `<eos>` first, to log-probabilities (batch, tokens, V), in the place of logits.

    Attributes:
        floor: the least log-probability that is returned. Impossible tokens have −inf, which a loss that weighs the
            teacher's log-probabilities by another distribution (reverse KL, JSD) cannot use.
        dtype: of the result.
    """

    truth: Truth
    floor: float = -math.inf
    dtype: torch.dtype = torch.float32

    def __call__(self, ids: Tensor) -> Tensor:
        return self.truth.read(ids).dense().clamp(min=self.floor).to(ids.device, self.dtype)
