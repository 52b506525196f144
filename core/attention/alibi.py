"""The slopes of ALiBi: a penalty of the scores that grows with distance (Press et al., arXiv:2108.12409)."""

from __future__ import annotations

import torch
from torch import Tensor


def alibi_slopes(heads: int) -> Tensor:
    """(heads,), float64: 2^(−8/heads), its square, and so on (Press et al., arXiv:2108.12409, §3, where heads is a power
    of 2)."""
    return torch.pow(2.0, -8 / heads * torch.arange(1, heads + 1, dtype=torch.float64, device="cpu"))
