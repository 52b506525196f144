"""The parameters of an experiment that sets distillation beside reinforcement learning.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from ..grpo.params import Params as GRPOParams
from ..lm.pretrained import PretrainedModel, written_as_model
from ..own_files import is_reference
from ..trial import Nearby

Method = Literal[
    "sft-traces", "sft-generator", "kd", "on-policy", "on-policy-token", "rl", "sft+on-policy", "sft+rl", "sft-own", "sft-demos",
]  # fmt: skip


class Params(GRPOParams):
    """What such an experiment may vary. Parameters of `grpo` are the student's, and the teacher's too where it has none of
    its own; `steps` are those of the teacher's training by rewards."""

    method: Method
    """What the student learns from; see `methods`."""
    tokens: int = Field(200_000, ge=1)
    """The student's budget: tokens of completions that it samples or is shown, the last step's included."""
    imitation_learning_rate: float = Field(1e-3, gt=0)
    """Of all methods but reward, whose own is `learning_rate`."""
    sft_share: float = Field(0.5, gt=0, lt=1)
    """Of sft+rl and sft+on-policy: the share of the tokens that are a teacher's traces."""
    trace: Literal["full", "leaps"] = "full"
    """Of sft-generator: a step at a time, or two."""

    # The teacher: a base model that `grpo` has trained, unless one is given.
    teacher: PretrainedModel | None = None
    """A pretrained teacher, {hf: ./folder}, with the tokens of the student's `model`."""
    teacher_long: float = Field(0.25, ge=0, le=1)
    """The share of the teacher's demonstrations with a trace."""
    teacher_d_model: int = Field(64, ge=8)
    """Width of the teacher."""
    teacher_d_ff: int = Field(192, ge=8)
    """Width of the teacher's feed-forward layers."""
    teacher_base_batch: int = Field(64, ge=1)
    """Demonstrations in a step of its training as a base model."""
    teacher_window: tuple[float, float] = (0.2, 1.0)
    """The smallest and the largest accuracy of its base model; outside of it another one is trained."""
    teacher_learning_rate: float = Field(3e-4, gt=0)
    """Of the teacher's training by rewards."""
    traces: int = Field(0, ge=0)
    """Tokens of its right answers that are kept for students; 0: as many as `tokens`."""

    # Evaluation, beside that of `grpo`.
    reach: float = Field(0.6, gt=0, lt=1)
    """The share of right samples whose price in tokens and operations is asked."""
    many: int = Field(64, ge=1)
    """Samples of each problem at the end, of which one is to be right."""
    first_seed: int = Field(0, ge=0)
    """Added to every seed, so that what is tuned on some seeds is judged on others."""

    @field_validator("teacher", mode="before")
    @classmethod
    def _is_a_teacher(cls, value: object) -> object:
        return written_as_model(value)

    @model_validator(mode="after")
    def _has_a_teacher_and_a_student(self, info: ValidationInfo) -> Self:
        if (self.model is None) != (self.teacher is None):
            given, missing = ("teacher", "model") if self.model is None else ("model", "teacher")
            raise ValueError(
                f"{given} is given and {missing} is not; a student and its teacher have the same tokens, so both are yours, "
                "{hf: ./folder}, or both are ours"
            )
        if self.model is not None and self.method in ("sft-generator", "sft-demos"):
            raise ValueError(
                f"{self.method} is for students of ours: a given model's tokenizer writes prompts, not demonstrations"
            )
        for name in ("dynamic_sampling", "num_iterations"):
            if getattr(self, name) != 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; here every step samples once and updates once"
                )
        if self.model is None:
            teacher_params(self)
        if self.also and is_reference(self.task):
            raise ValueError("also is for built-in tasks, whose vocabularies can be joined")
        nearby: Nearby | None = info.context
        if nearby is not None and self.model is not None and self.teacher is not None:
            from .pretrained import check_pretrained_teacher

            check_pretrained_teacher(nearby.path(self.model.hf), nearby.path(self.teacher.hf))
        return self


def teacher_params(params: Params) -> GRPOParams:
    """What the teacher's own training by rewards is asked for."""
    given = {
        name: getattr(params, name) for name in GRPOParams.model_fields if name in params.model_fields_set
    }
    given |= {
        "long": params.teacher_long,
        "d_model": params.teacher_d_model,
        "d_ff": params.teacher_d_ff,
        "base_batch": params.teacher_base_batch,
        "window": params.teacher_window,
        "learning_rate": params.teacher_learning_rate,
        "algorithm": "grpo",
    }
    try:
        return GRPOParams(**given)
    except ValidationError as error:
        raise ValueError(f"the teacher: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
