"""What an experiment about the numbers of attention may vary. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...trial import Params as AnyParams

Format = Literal["float32", "float16", "bfloat16", "e4m3"]


class Params(AnyParams):
    """The parameters, of one head. An algorithm ignores those that it has no use for."""

    algorithm: Literal["standard", "flash", "flash-1", "flash-2", "chunked", "whole", "ties"] = "flash"
    """standard, flash: their errors. flash-1, flash-2: counts of FlashAttention's and FlashAttention-2's Algorithm 1.
    chunked, whole: memory. ties: the rounding of a sum in which several P are 1."""
    queries: int = Field(256, ge=1)
    """Rows of Q."""
    keys: int = Field(2048, ge=4)
    """Rows of K and V."""
    head_dim: int = Field(64, ge=1)
    """d: columns of Q, K and V."""
    outliers: bool = False
    """Inputs N(0, 1) + N(0, 100)·Bernoulli(0.001) in the place of N(0, 1)."""
    spread: float = Field(1.0, gt=0)
    """What the scores are multiplied by: of normal inputs, their standard deviation."""
    given: Format = "float32"
    """The format in which Q, K and V are given; the truth is of these."""
    fed: Literal["as given", "float16", "bfloat16", "e4m3 by tensor", "e4m3 by block"] = "as given"
    """What the algorithm makes of them first, of which the truth knows nothing: fp8 has one scale for the whole, or one
    for each block of `tile` rows."""
    incoherent: bool = False
    """Q and K are multiplied by a random orthogonal matrix before that; head_dim is then a power of two."""
    S: Format = "float32"
    """Of flash: the scores. Standard attention has them in the format of P."""
    P: Format = "float32"
    """Of flash: the probabilities as they enter the product with V."""
    kept: Format = "float32"
    """O, ℓ and the factor of rescaling, between tiles."""
    output: Format = "float32"
    """The format of the result."""
    tile: int = Field(128, ge=1)
    """Keys of a tile."""
    threshold: float = Field(0.0, ge=0)
    """τ: how much a maximum may grow, in powers of two, before O is rescaled."""
    offset: float = 0.0
    """P is multiplied by 2 to this power."""
    gradients: bool = False
    """Of chunked and whole: memory of forward and backward."""
    equal: int = Field(2, ge=1)
    """Of ties: keys that share the maximum."""
    shift: float = Field(0.0, ge=0)
    """Of ties: how far above the maximum m is taken, in powers of two, so that no P is 1."""
