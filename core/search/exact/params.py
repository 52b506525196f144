"""The parameters of `lab run search-exact`. Importing this costs no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ..params import SearchParams
from .ideal import Rates


class Params(SearchParams):
    """A strategy, and the chain that it searches; see `ideal`."""

    steps: int = Field(16, ge=1)
    """Of a chain."""
    classes: int = Field(10, ge=2)
    """m, the values that a step may have."""
    slip: float = Field(0.15, gt=0, le=0.5)
    """ε, the chance that a step is wrong."""
    noise: float = Field(0.5, ge=0, allow_inf_nan=False)
    """σ of the rating, whose right and wrong are 1 apart."""
    trap: float = Field(0.0, ge=0, le=1)
    """ρ, the share of first wrong steps that are rated better than right ones."""
    rates: Rates = "steps"
    """What a prefix is rated by: whether its steps are right, or the chance that it ends in the right answer."""

    @model_validator(mode="after")
    def _has_no_equal_prefixes(self) -> Self:
        if self.distinct:
            raise ValueError("distinct means nothing here: no two prefixes are the same text")
        return self
