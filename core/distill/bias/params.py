"""The parameters of an experiment about the bias of losses, `lab run kd-loss-bias`.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from pydantic import Field

from ...trial import Params as AnyParams
from .names import One, Two


class Params(AnyParams):
    """What an experiment about the bias of losses may vary."""

    loss: One | Two = "forward-kl"
    """Whose minimiser is compared with the teacher's distribution."""
    tokens: int = Field(1024, ge=1)
    """Of the text, in the teacher's byte-pair encoding."""
    k: int = Field(12, ge=1)
    """Of top-k: the number of tokens kept of the teacher's distribution."""
    n: int = Field(50, ge=1)
    """Of sampled: the number of draws at each token."""
    share: float = Field(0.5, ge=0, le=1)
    """The teacher's part of the mixture of jsd (β) and skew (λ)."""
    learnt: float = Field(0.0, ge=0, lt=1)
    """The student whose gradients are compared: at 0 it has the frequency of each token, near 1 the best prediction from
    the last token alone."""
    topics: int = Field(8, ge=1)
    """Hidden states of the language."""
    words: int = Field(2000, ge=8)
    """Words of the language."""
    vocabulary: int = Field(512, ge=32)
    """Tokens of the teacher's byte-pair encoding, which is the student's too where there is one vocabulary."""
