"""Encodings that are added to the embeddings: each position has a vector of its own.

Vectors that are not learned are given in units of `EMBEDDING_SCALE`, so that what is said of their size beside an
embedding's is true of the model at its first step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .interface import EMBEDDING_SCALE, Encoding, Sizes, Undefined, precise_as


def integer(sizes: Sizes) -> Encoding:
    """p in each component (Fleetwood, "You could have designed state of the art positional encoding", Integer encoding)."""

    def added(positions: Tensor) -> Tensor:
        alike = positions[..., None].double().expand(*positions.shape, sizes.d_model)
        return precise_as(positions, alike * EMBEDDING_SCALE)

    return Encoding(added=added)


def binary(sizes: Sizes) -> Encoding:
    """The binary digits of p, the lowest first, again and again until the vector is full (Fleetwood, Binary encoding)."""
    digits = max(1, (sizes.context - 1).bit_length())

    def added(positions: Tensor) -> Tensor:
        places = torch.arange(sizes.d_model, device=positions.device) % digits
        return precise_as(positions, (positions[..., None].long() >> places & 1).double() * EMBEDDING_SCALE)

    return Encoding(added=added)


def sinusoidal(sizes: Sizes) -> Encoding:
    """sin(p·ω_i) and cos(p·ω_i) with ω_i = θ^(−2i/d_model), alternating (Vaswani et al., arXiv:1706.03762, §3.5).

    There embeddings are of unit variance, and sinusoids of amplitude 1 beside them; so they are here.
    Raises ValueError: d_model is odd.
    """
    if sizes.d_model % 2:
        raise ValueError(f"sinusoidal: d_model is {sizes.d_model}; sine and cosine need an even number")

    def added(positions: Tensor) -> Tensor:
        i = torch.arange(0, sizes.d_model, 2, dtype=torch.float64, device=positions.device)
        angles = positions[..., None].double() * sizes.theta ** (-i / sizes.d_model)
        waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
        return precise_as(positions, waves * EMBEDDING_SCALE)

    return Encoding(added=added)


def learned(sizes: Sizes) -> Encoding:
    """A learned vector for each position that training shows (Gehring et al., arXiv:1705.03122, §3.1); none for others."""
    return Encoding(added=Table(sizes.seen, sizes.d_model))


class Table(nn.Embedding):
    """Learned vectors (rows, d_model) of positions 0 … rows − 1."""

    def __init__(self, rows: int, d_model: int) -> None:
        super().__init__(rows, d_model)
        nn.init.normal_(self.weight, std=EMBEDDING_SCALE)

    def forward(self, positions: Tensor) -> Tensor:
        """Raises Undefined: a position without a vector."""
        if positions.numel() and int(positions.max()) >= self.num_embeddings:
            raise Undefined(
                f"learned has vectors of {self.num_embeddings} positions: {int(positions.max())} has none"
            )
        found: Tensor = super().forward(positions.long())
        return found
