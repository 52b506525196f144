"""The parameters of `lab run on-policy-bias`.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ....trial import Params as AnyParams


class Params(AnyParams):
    """What an experiment about the bias of on-policy distillation may vary."""

    estimator: Literal["full", "token", "token-baseline", "return"] = "full"
    """What a sampled sequence's gradient is made of: the KL over the vocabulary at each of its tokens, or the log-ratio of its
    tokens, less its mean, or with those that follow."""
    discount: float = Field(1.0, ge=0, le=1)
    """Of return: how much the log-ratios of later tokens count."""
    length: int = Field(3, ge=1)
    """Tokens of a sequence; all of them are listed."""
    vocabulary: int = Field(3, ge=2)
    """Tokens of the language."""
    apart: float = Field(1.0, gt=0)
    """Standard deviation of the student's logits around the teacher's."""
