"""The parameters of `lab run position-algebra`. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from ...own_files import is_reference
from ...trial import Params as AnyParams


class Params(AnyParams):
    """An encoding, and the sizes that it is made for."""

    implementation: str = ""
    """A built-in encoding ("rope", "alibi", …) or yours as "./file.py:function", which gets `Sizes` and returns an `Encoding`
    of lab.core.position. Empty: the variant's own name."""
    d_model: int = Field(128, ge=2)
    """Width of the embeddings."""
    heads: int = Field(2, ge=1)
    """Of queries and keys; divides d_model."""
    theta: float = Field(10_000.0, gt=1, allow_inf_nan=False)
    """The base of the frequencies of sinusoids and rotations."""
    context: int = Field(200_000, ge=2_000)
    """Positions that are told apart, and compared with position 0."""
    trained: int | None = Field(None, ge=1)
    """Those of training, which rope-pi, rope-ntk and rope-yarn are stretched from; the rows of learned. Empty: all."""
    angles: Literal["float64", "bfloat16"] = "float64"
    """In which queries' and keys' angles are computed; single precision if they are of your own."""
    short: int = Field(16, ge=2, le=1024)
    """The length of a short text, within which pairs may hardly turn."""
    little: float = Field(0.1, gt=0, lt=2)
    """A pair that stays this near to where it is at position 0 hardly turns; radians, where they are few."""

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Self:
        if self.d_model % self.heads:
            raise ValueError(f"d_model is {self.d_model}; it must be a multiple of heads, {self.heads}")
        if self.trained is not None and self.trained > self.context:
            raise ValueError(f"trained is {self.trained}; it must be at most context, {self.context}")
        if info.context is not None and is_reference(self.implementation):
            info.context.load(self.implementation)
        return self
