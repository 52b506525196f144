"""The parameters of an experiment on distillation between tokenizers, `lab run kd-cross-tokenizer`.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ...lm.pretrained import PretrainedModel, written_as_model
from ...trial import Nearby
from ..shared_params import SharedParams
from .signals import signal_terms


class Params(SharedParams):
    """What an experiment on distillation between tokenizers may vary."""

    signal: str = "data"
    """What the student learns from, see `signals`: `exact-marginal`, or several with weights, `data+0.5*uld`."""
    rebuild: bool = False
    """Whether damaged files of a teacher's outputs are made again; otherwise they raise `Unusable`."""

    text: Path | None = None
    """A file of text in place of the known language, for pretrained models only; its truth is then unknown."""
    tokens: int = Field(24, ge=1)
    """Of a document that students learn from, in the teacher's encoding."""
    characters: int = Field(200, ge=8)
    """Largest length of a document of `text`."""
    held_out: int = Field(128, ge=1)
    """Documents that the distance from the truth is measured on."""

    model: PretrainedModel | None = None
    """A pretrained student, in place of one of characters."""

    teacher: PretrainedModel | None = None
    """A pretrained teacher, in place of those that are trained here."""

    @field_validator("signal")
    @classmethod
    def _is_a_signal(cls, value: str) -> str:
        signal_terms(value)
        return value

    @field_validator("teacher", "model", mode="before")
    @classmethod
    def _is_a_model(cls, value: object) -> object:
        return written_as_model(value)

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        if self.text is not None and (self.model is None or self.teacher is None):
            raise ValueError(
                "a text of one's own needs a teacher and a model of one's own, {hf: ./folder}: ours know the letters of "
                "the known language only"
            )
        nearby: Nearby | None = info.context
        if nearby is not None and (self.model or self.teacher):
            from .checks import check_models

            check_models(self, nearby, self.signal, self.model, self.teacher, self.text, self.characters)
        return self
