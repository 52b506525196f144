"""What an experiment about alternatives to softmax may vary. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...trial import Params as AnyParams


class Params(AnyParams):
    """The parameters of an experiment about alternatives."""

    implementation: str = ""
    """A built-in name ("sparsemax", "softpick", …) or yours as "./file.py:function", called as f(x, dim=-1) or f(x).
    Empty: the variant's own name."""
    computes: str = ""
    """Which of the built-in functions yours is another way to compute. Empty: the implementation's own name."""
    rows: int = Field(64, ge=1)
    """Vectors, each normalised by itself."""
    columns: int = Field(1000, ge=1)
    """Numbers in a row."""
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """Of the logits and of the result."""
    scale: float = Field(1.0, ge=0)
    """The standard deviation of the logits, which are normal around 0."""
