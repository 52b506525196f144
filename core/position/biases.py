"""Encodings that are added to the scores: the farther a key, the less is added."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..attention.alibi import alibi_slopes
from .interface import Encoding, Sizes


def alibi(sizes: Sizes) -> Encoding:
    """−slope · distance, a slope for each head (Press et al., arXiv:2108.12409, §3)."""
    return Encoding(slopes=alibi_slopes(sizes.heads).float())


def t5(sizes: Sizes, buckets: int = 32, farthest: int = 128) -> Encoding:
    """A learned number for each head and bucket of distances, shared by all layers (Raffel et al., arXiv:1910.10683, §2.1)."""
    return Encoding(bias=BucketedBias(sizes.heads, buckets, farthest))


class BucketedBias(nn.Module):
    """Half of the buckets hold one distance each; the others grow with the distance, and the last holds `farthest` and all
    beyond. All are 0 when training begins."""

    def __init__(self, heads: int, buckets: int, farthest: int) -> None:
        super().__init__()
        if not 1 <= buckets // 2 < farthest:
            raise ValueError(f"t5: {buckets} buckets reach farther than {farthest}; make farthest larger")
        self.buckets, self.farthest = buckets, farthest
        self.weight = nn.Parameter(torch.zeros(buckets, heads, dtype=torch.float32, device="cpu"))

    def bucket(self, distances: Tensor) -> Tensor:
        """Of distances (n,): (n,)."""
        exact = self.buckets // 2
        growth = (distances.clamp(min=1) / exact).double().log() / math.log(self.farthest / exact)
        far = exact + (growth * (self.buckets - exact)).long()
        return torch.where(distances < exact, distances, far.clamp(max=self.buckets - 1))

    def forward(self, distances: Tensor) -> Tensor:
        """Distances (n,) to numbers (heads, n)."""
        return self.weight[self.bucket(distances)].T
