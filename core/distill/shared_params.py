"""What all experiments on distillation with a known language may vary: the language, the student, the teachers.

Importing this costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from ..trial import Context
from ..trial import Params as AnyParams

if TYPE_CHECKING:
    from ..lm.model import Config, Transformer
    from .teacher import Teacher
    from .text import Source


class Knobs(AnyParams):
    """Each is a default that an experiment's file may change."""

    # The language, and the text that students learn from.
    topics: int = Field(8, ge=1)
    words: int = Field(1000, ge=1)
    vocabulary: int = Field(512, ge=16)
    """Pieces of words."""
    columns: int = Field(64, ge=2)
    """Tokens of a document, the one before it included."""
    documents: int = Field(1600, ge=1)
    held_out: int = Field(256, ge=1)
    """So many documents are what the distance from the truth is taken over."""

    # The student.
    d_model: int = Field(48, ge=8)
    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)
    d_ff: int = Field(144, ge=8)
    steps: int = Field(300, ge=1)
    batch: int = Field(32, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    eval_every: int = Field(50, ge=1)

    # The teachers: one for each seed, or so many from which the seeds learn in turn.
    teachers: int | None = Field(None, ge=1)
    teacher_d_model: int = Field(128, ge=8)
    teacher_layers: int = Field(2, ge=1)
    teacher_heads: int = Field(4, ge=1)
    teacher_d_ff: int = Field(384, ge=8)
    teacher_steps: int = Field(240, ge=1)
    teacher_batch: int = Field(32, ge=1)
    teacher_documents: int = Field(8000, ge=1)
    """Of its own text."""

    first_seed: int = Field(0, ge=0)
    """Added to every seed: what is chosen on some seeds is judged on others."""

    @model_validator(mode="after")
    def _widths_are_those_of_heads(self) -> Self:
        for who, width, heads in (
            ("d_model", self.d_model, self.heads),
            ("teacher_d_model", self.teacher_d_model, self.teacher_heads),
        ):
            if width % heads or width // heads % 2:
                raise ValueError(f"{who} is {width}; it must be an even multiple of its {heads} heads")
        return self


def source_of(knobs: Knobs) -> Source:
    """The language, cut into pieces of words."""
    from .text import Source

    return Source(knobs.topics, knobs.words, knobs.vocabulary, knobs.columns)


def config_of(knobs: Knobs, vocabulary: int, context: int, of: str = "") -> Config:
    """The shape of the student, or of the teacher (`of` is "teacher_")."""
    from ..lm.model import Config

    sizes: dict[str, Any] = {
        name: getattr(knobs, of + name) for name in ("d_model", "layers", "heads", "d_ff")
    }
    return Config(vocabulary, context, kv_heads=sizes["heads"], **sizes)


def seed_of(knobs: Knobs, context: Context) -> int:
    """Of everything that differs from one replicate to the next."""
    return knobs.first_seed + context.seed


def student_of(config: Config, knobs: Knobs, context: Context) -> Transformer:
    """A student before its first step, the same for the same seed."""
    import torch

    from ..lm.model import Transformer

    torch.manual_seed(seed_of(knobs, context))
    return Transformer(config).to(context.device)


def teacher_of(knobs: Knobs, source: Source, context: Context) -> Teacher:
    """The teacher that this seed learns from: its own, or where there are `teachers` the one whose turn it is."""
    from ..lm.training import Recipe
    from .teacher import Teacher

    return Teacher(
        source,
        config_of(knobs, source.view.size, knobs.columns, "teacher_"),
        Recipe(knobs.teacher_steps, knobs.teacher_batch, parts=1),
        knobs.teacher_documents,
        knobs.held_out,
        knobs.first_seed + (context.seed % knobs.teachers if knobs.teachers else context.seed),
    )
