"""The parameters of `lab run incentivize`. Importing this costs no torch."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from ...trial import Params as AnyParams


class Params(AnyParams):
    """Permutations of symbols, and a small transformer that is shown pairs of them."""

    tasks: int = 1024
    """T, how many permutations it is trained on; `all`, or as many as there are: each sequence has a new one."""
    symbols: int = Field(10, ge=2, le=12)
    """That a permutation moves."""
    pairs: int = Field(16, ge=2)
    """x f(x) in a sequence; keys are drawn with replacement."""
    joint: bool = True
    """Whether a value's token also says what it is the value of: then one layer of attention can look it up. Without, two have
    to work together, which takes about ten times as many steps to learn."""
    held_out: int = Field(256, ge=1)
    """Permutations that are never trained on."""
    steps: int = Field(400, ge=1)
    """Of training."""
    batch: int = Field(64, ge=1)
    """Sequences of a step."""
    d_model: int = Field(48, ge=2)
    """Width of the transformer."""
    layers: int = Field(2, ge=1)
    """Its blocks."""
    learning_rate: float = Field(3e-3, gt=0, allow_inf_nan=False)
    """Highest, of AdamW."""
    matrix_learning_rate: float = Field(1e-2, gt=0, allow_inf_nan=False)
    """Highest, of Muon."""
    eval_every: int = Field(10, ge=1)
    """Steps between evaluations."""
    eval_sequences: int = Field(256, ge=1)
    """Of new permutations, and as many of known ones."""
    first_seed: int = Field(0, ge=0)
    """Added to each seed: what is tuned on some seeds is judged on others."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _are_a_number(cls, value: Any) -> Any:
        if value == "all":
            return math.factorial(12)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise ValueError(
                f"{value} permutations to train on: 1 or more, or all for a new one in each sequence"
            )
        return value

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        there_are = math.factorial(self.symbols)
        if self.held_out >= there_are:
            raise ValueError(
                f"held_out is {self.held_out}, and {self.symbols} symbols have {there_are} permutations: none is left to train on"
            )
        return self
