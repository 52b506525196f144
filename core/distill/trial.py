"""What an experiment about distillation may vary, and one training: a student, taught by one signal or several.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..trial import Context
from .shared_params import Knobs, config_of, seed_of, source_of, student_of, teacher_of
from .signals import HEADS, INSIDE, RESPONSE, STATES, signal_terms

if TYPE_CHECKING:
    from .objective import Lesson
    from .output_file import Outputs
    from .teacher import Teacher
    from .text import Source


@dataclass(frozen=True)
class Taught:
    """What a student has of a teacher.

    Attributes:
        bytes_per_token: of the files that the signals read, as they lie on the disk.
        tokens_kept: how many tokens these tell of at each position, on average.
        flops: of the teacher's training and of its outputs; 0 where nothing is learned from it.
    """

    lesson: Lesson
    bytes_per_token: float
    tokens_kept: float
    flops: float


class Params(Knobs):
    """The knobs of an experiment on distillation."""

    signal: str = "data"
    """What the student is taught by, see `signals`: `soft`, or several with weights, `data+0.5*feature`."""
    teacher: Literal["trained", "oracle"] = "trained"
    """The oracle tells the true distribution; it has nothing inside."""
    k: int = Field(12, ge=1)
    """Of top-k: so many tokens."""
    rest: Literal["renormalise", "tail", "truth"] = "renormalise"
    """Of top-k: what becomes of the mass of all other tokens; see `losses.top_k`."""
    draws: int = Field(12, ge=1, le=128)
    """Of sampled: so many draws at each token."""
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Of teacher and student alike."""
    rebuild: bool = False
    """Whether a teacher's outputs that are damaged are made again, instead of that being said."""

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
        for name in INSIDE:
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


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """A teacher from the cache, or trained; a student taught on the one text; its distance from the truth.

    Teacher, text, weights and order are the seed's, the same for all variants; held-out text is one for all seeds.

    Returns:
        `Examination.whole` of the student; `teacher/kl`, `teacher/kl_bits`; `teacher/lead`, the student's KL less the
        teacher's in bits per character; `parameters`; `compute` in 10⁹ operations, and `total_compute`, with the teacher's
        training and outputs; `bytes_per_token` of what was read of the teacher, and `tokens_kept`, of how many tokens it
        tells at each position, on average.

    Raises:
        Unusable: the teacher's outputs in the cache are damaged.
        NotFinite: a loss is not.
        ValueError: the teacher's outputs are no distribution.
    """
    from ..lm.training import Recipe
    from .evaluation import Examination, teach
    from .student import Student
    from .teacher import held_out_text, train_teacher

    source = source_of(params)
    teacher = teacher_of(params, source, context)
    # Every variant has its teacher's figures, so that a teacher that is worse than its students is seen.
    _, of_teacher = train_teacher(context, teacher)
    if params.teacher == "oracle":
        of_teacher = dict.fromkeys(of_teacher, 0.0)
    taught = _taught(params, source, teacher, context)
    recipe = Recipe(params.steps, params.batch, lr=params.learning_rate)
    model = student_of(config_of(params, source.view.size, params.columns), params, context)
    student = Student(model, recipe, taught.lesson, seed_of(params, context))
    examination = Examination(source.truth, held_out_text(source, params.held_out))
    teach(student, examination, params.eval_every, context)
    found = examination.whole(student)
    return found | {
        "teacher/kl": of_teacher["kl"],
        "teacher/kl_bits": of_teacher["kl_bits"],
        "teacher/lead": found["kl_bits"] - of_teacher["kl_bits"],
        "parameters": float(student.parameter_count),
        "compute": student.flops() / 1e9,
        "total_compute": (student.flops() + taught.flops) / 1e9,
        "bytes_per_token": taught.bytes_per_token,
        "tokens_kept": taught.tokens_kept,
    }


def _taught(params: Params, source: Source, teacher: Teacher, context: Context) -> Taught:
    """What the signals read of the teacher, from files that all variants share."""
    from .objective import Lesson
    from .teacher import Lessons, transfer_text

    weights = signal_terms(params.signal)
    of = None if params.teacher == "oracle" else teacher
    seed = seed_of(params, context)
    lessons = Lessons(source, of, params.documents, seed, params.temperature, params.rebuild)
    counts = {"hard": 1, "draw": 1, "top-k": params.k, "sampled": params.draws}
    outputs = {}
    for name in weights:
        if name == "soft":
            outputs[name] = lessons.full(context)
        elif name in counts:
            form = "top-k" if name in ("hard", "top-k") else "sampled"
            outputs[name] = lessons.sparse(context, form, counts[name])
    states = lessons.states(context) if weights.keys() & set(STATES) else None
    heads = lessons.heads(context) if weights.keys() & set(HEADS) else None
    inside = [x for x in (states, heads) if x is not None]
    size = sum(output.bytes_per_token for output in outputs.values())
    size += sum(float(x[0].nbytes) for x in inside)
    ids = transfer_text(source, params.documents, seed)
    lesson = Lesson(ids, weights, outputs, states, heads, teacher.config, params.temperature, params.rest)
    flops = 0.0 if of is None or not (outputs or inside) else teacher.flops(params.documents)
    return Taught(lesson, size, sum(map(_tokens_kept, outputs.values())), flops)


def _tokens_kept(outputs: Outputs) -> float:
    if outputs.kind.form != "sampled":
        return float(outputs.kind.width)
    import torch

    drawn: Any = outputs.read(torch.arange(outputs.tokens, device="cpu"))
    return float((drawn.counts > 0).sum()) / outputs.tokens
