"""What an experiment on distillation between different tokens may vary, and one training.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ...lm.given import Given, written_as_model
from ...trial import Context, Nearby
from ..shared_params import Knobs
from .signals import weights_of

CURVES = "kl_bits", "calibration_error", "invalid_mass", "excess_bits", "bits"


class Params(Knobs):
    """The knobs of an experiment on distillation between different tokens."""

    signal: str = "data"
    """What the student is taught by, see `names`: `exact-marginal`, or several with weights, `data+0.5*uld`."""
    rebuild: bool = False
    """Whether a teacher's outputs that are damaged are made again, instead of that being said."""

    text: Path | None = None
    """A file of text in the place of the known language, for given models only; nothing is known of its truth then."""
    tokens: int = Field(24, ge=1)
    """Of a document that students learn from, in the teacher's pieces."""
    characters: int = Field(200, ge=8)
    """Of a document of `text`, at most."""
    held_out: int = Field(128, ge=1)

    model: Given | None = None
    """In the place of a student of characters."""

    teacher: Given | None = None
    """In the place of those that are trained here."""

    @field_validator("signal")
    @classmethod
    def _is_a_signal(cls, value: str) -> str:
        weights_of(value)
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
            from .models import check

            check(self, nearby)
        return self


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """A teacher from the cache, trained, or given; a student taught on the one text; its distance from the truth.

    Teacher, text, weights and order are the seed's, the same for all variants but `teacher-text`; held-out text is one
    for all seeds.

    Returns:
        Of a student of characters `Figures.measures` on held-out text. Of any `bits`, −log₂ of held-out text in its own
        tokens by the text's bytes; where the language is known `excess_bits`, that less the truth's own: by chance what
        `kl_bits` is on average, and where tokens are no characters an upper bound, since only one way to write the text
        counts. `teacher/…` the teacher's own; `lead`, the student's excess (or bits) less its teacher's; `parameters`;
        `compute` in 10⁹ operations and `total_compute` with the teacher's; `bytes_per_character` of what was read of
        the teacher.

    Raises:
        Unusable: the teacher's outputs in the cache are damaged.
        NotFinite: a loss is not.
        ValueError: texts that do not align, vocabularies without a common token, or a loss that these do not fit.
    """
    from ..evaluation import teach
    from .models import ready

    running = ready(params, context)
    student = running.student
    context.sample(0, running.drawing)
    teach(student, running, params.eval_every, context)
    found = running.judged()
    name = "excess_bits" if "excess_bits" in found else "bits"
    return found | {
        "lead": found[name] - found[f"teacher/{name}"],
        "parameters": float(student.parameter_count),
        "compute": student.flops() / 1e9,
        "total_compute": (student.flops() + running.taught) / 1e9,
        "bytes_per_character": running.read,
    }
