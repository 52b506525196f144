"""The parameters of an experiment on distillation, `lab run kd`.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from .shared_params import SharedParams
from .signals import INTERNALS, RESPONSE, signal_terms


class Params(SharedParams):
    """What an experiment on distillation may vary."""

    signal: str = "data"
    """What the student learns from, see `signals`: `soft`, or several with weights, `data+0.5*feature`."""
    teacher: Literal["trained", "oracle"] = "trained"
    """The oracle returns the true distribution; it has no hidden states and no attention."""
    k: int = Field(12, ge=1)
    """Of top-k: the number of tokens."""
    rest: Literal["renormalise", "tail", "truth"] = "renormalise"
    """Of top-k: what becomes of the mass of all other tokens; see `losses.top_k`."""
    draws: int = Field(12, ge=1, le=128)
    """Of sampled: the number of draws at each token."""
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Of teacher and student alike."""
    rebuild: bool = False
    """Whether damaged files of a teacher's outputs are made again; otherwise they raise `Unusable`."""

    @field_validator("signal")
    @classmethod
    def _is_a_signal(cls, value: str) -> str:
        signal_terms(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        signals = signal_terms(self.signal)
        if self.k > self.vocabulary:
            raise ValueError(f"k is {self.k}, but the vocabulary has {self.vocabulary} tokens")
        for name in INTERNALS:
            if self.teacher == "oracle" and name in signals:
                raise ValueError(
                    f"the oracle has nothing inside to learn {name} from; it tells responses only"
                )
        if self.teacher == "oracle" and not signals.keys() & set(RESPONSE):
            raise ValueError(f"{self.signal} takes nothing from a teacher; leave the oracle out")
        if "minilm" in signals and self.teacher_d_model % self.heads:
            raise ValueError(
                f"minilm splits both widths by the student's {self.heads} heads; teacher_d_model is {self.teacher_d_model}"
            )
        return self
