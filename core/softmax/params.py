"""What an experiment about softmax may vary. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..trial import Params as AnyParams


class Params(AnyParams):
    """The parameters of a softmax experiment."""

    implementation: str = ""
    """A built-in name ("safe", "online", "reference-online", …) or yours as "./file.py:function", called as
    f(x, dim=-1), as f(x) if it has no dim, and for top-k as f(x, k). Empty: the variant's own name."""
    output: Literal["softmax", "log-softmax", "logsumexp", "top-k"] = "softmax"
    """What is computed of each row."""
    rows: int = Field(256, ge=1)
    """Vectors, each normalised by itself."""
    columns: int = Field(1000, ge=1)
    """Numbers in a row."""
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """Of the logits and of the result."""
    k: int = Field(5, ge=1)
    """For "top-k": how many of the largest."""
    scale: float = Field(1.0, ge=0)
    """The standard deviation of the logits, which are normal around 0."""
    threads: int = Field(0, ge=0)
    """Threads of a call; 0: those of the run."""
    stable: bool = True
    """False: promised only for logits whose exponential the dtype holds, and not checked beyond."""
