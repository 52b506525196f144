"""The parameters that `distill` and `distill/cross_tokenizer` share: of the language, the student, the teachers.

Importing this costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from ..position.names import check_generating, check_heads
from ..trial import Context
from ..trial import Params as AnyParams

if TYPE_CHECKING:
    from ..lm.model import Config, Transformer
    from .teacher import Teacher
    from .text import Source


class SharedParams(AnyParams):
    """Defaults, which an experiment's file may change."""

    # The language, and the text that students learn from.
    topics: int = Field(8, ge=1)
    """Hidden states of the language."""
    words: int = Field(1000, ge=1)
    """Words of the language."""
    vocabulary: int = Field(512, ge=16)
    """Tokens of the byte-pair encoding."""
    columns: int = Field(64, ge=2)
    """Tokens of a document, `<eos>` before it included."""
    documents: int = Field(1600, ge=1)
    """Documents that students learn from."""
    held_out: int = Field(256, ge=1)
    """Documents that the distance from the truth is measured on."""

    # The student.
    d_model: int = Field(48, ge=8)
    """Width of the student."""
    layers: int = Field(1, ge=1)
    """Layers of the student."""
    heads: int = Field(4, ge=1)
    """Heads of the student."""
    d_ff: int = Field(144, ge=8)
    """Width of the student's feed-forward layers."""
    position: Annotated[str, AfterValidator(check_generating)] = "rope"
    """How students and teachers are told positions: none, learned, sinusoidal, alibi, t5, rope, …"""
    steps: int = Field(300, ge=1)
    """Steps of the student's training."""
    batch: int = Field(32, ge=1)
    """Documents in a step."""
    learning_rate: float = Field(3e-3, gt=0)
    """Of the student."""
    eval_every: int = Field(50, ge=1)
    """Steps between two points of the curves."""

    # The teachers: one for each seed, or `teachers` of them, which the seeds learn from in turn.
    teachers: int | None = Field(None, ge=1)
    """So many teachers, which the seeds learn from in turn; left out, one for each seed."""
    teacher_d_model: int = Field(128, ge=8)
    """Width of a teacher."""
    teacher_layers: int = Field(2, ge=1)
    """Layers of a teacher."""
    teacher_heads: int = Field(4, ge=1)
    """Heads of a teacher."""
    teacher_d_ff: int = Field(384, ge=8)
    """Width of a teacher's feed-forward layers."""
    teacher_steps: int = Field(240, ge=1)
    """Steps of a teacher's training."""
    teacher_batch: int = Field(32, ge=1)
    """Documents in a step of it."""
    teacher_documents: int = Field(8000, ge=1)
    """Of the teacher's own training text."""

    first_seed: int = Field(0, ge=0)
    """Added to every seed, so that what is tuned on some seeds is judged on others."""

    @model_validator(mode="after")
    def _widths_are_those_of_heads(self) -> Self:
        for who, width, heads in (
            ("d_model", self.d_model, self.heads),
            ("teacher_d_model", self.teacher_d_model, self.teacher_heads),
        ):
            check_heads(self.position, width, heads, who)
        return self


def source_of(params: SharedParams) -> Source:
    """The language and its byte-pair encoding."""
    from .text import Source

    return Source(params.topics, params.words, params.vocabulary, params.columns)


def config_of(params: SharedParams, vocabulary: int, context: int, of: str = "") -> Config:
    """The shape of the student, or with `of="teacher_"` of the teacher."""
    from ..lm.model import Config

    sizes: dict[str, Any] = {
        name: getattr(params, of + name) for name in ("d_model", "layers", "heads", "d_ff")
    }
    return Config(vocabulary, context, kv_heads=sizes["heads"], position=params.position, **sizes)


def seed_of(params: SharedParams, context: Context) -> int:
    """The seed of everything that differs from one replicate to the next."""
    return params.first_seed + context.seed


def student_of(config: Config, params: SharedParams, context: Context) -> Transformer:
    """A student before its first step, the same for the same seed."""
    import torch

    from ..lm.model import Transformer

    torch.manual_seed(seed_of(params, context))
    return Transformer(config).to(context.device)


def teacher_of(params: SharedParams, source: Source, context: Context) -> Teacher:
    """The teacher of this seed: its own, or with `teachers` set number seed mod `teachers`."""
    from ..lm.training import Recipe
    from .teacher import Teacher

    return Teacher(
        source,
        config_of(params, source.view.size, params.columns, "teacher_"),
        Recipe(params.teacher_steps, params.teacher_batch, parts=1),
        params.teacher_documents,
        params.held_out,
        params.first_seed + (context.seed % params.teachers if params.teachers else context.seed),
    )
