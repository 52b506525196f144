"""What an experiment about distillation may vary, and one training: a student, taught by one signal or several.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..trial import Context
from ..trial import Params as AnyParams
from .signals import HEADS, INSIDE, RESPONSE, STATES, signal_terms

if TYPE_CHECKING:
    from ..lm.model import Config
    from .language import Figures
    from .student import Lesson, Student
    from .teacher import Teacher
    from .text import Source


CURVES = "kl", "kl_bits", "calibration_error", "invalid_mass"
SHOWN = 24
"""Tokens of a student's text that are shown."""
WRITTEN = 64
"""Documents that a student writes in the end, about 2,000 words."""


@dataclass(frozen=True)
class Taught:
    """What a student has of a teacher.

    Attributes:
        bytes_per_token: of the files that the signals read, as they lie on the disk.
        flops: of the teacher's training and of its outputs; 0 where nothing is learned from it.
    """

    lesson: Lesson
    bytes_per_token: float
    flops: float


class Params(AnyParams):
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

    # The teachers: this many, the seeds take turns in learning from them.
    teachers: int = Field(2, ge=1)
    teacher_d_model: int = Field(128, ge=8)
    teacher_layers: int = Field(2, ge=1)
    teacher_heads: int = Field(4, ge=1)
    teacher_d_ff: int = Field(384, ge=8)
    teacher_steps: int = Field(240, ge=1)
    teacher_batch: int = Field(32, ge=1)
    teacher_documents: int = Field(8000, ge=1)
    """Of its own text."""

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
        for who, width, heads in (
            ("d_model", self.d_model, self.heads),
            ("teacher_d_model", self.teacher_d_model, self.teacher_heads),
        ):
            if width % heads or width // heads % 2:
                raise ValueError(f"{who} is {width}; it must be an even multiple of its {heads} heads")
        return self


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """A teacher from the cache, or trained; a student taught on the one text; its distance from the truth.

    The seed's teacher is number seed modulo `teachers`. Text is the same for all; weights and order are the seed's.

    Returns:
        `Figures.measures` of the student on held-out text; `invalid_words`, their share in what it writes; `teacher/kl`,
        `teacher/kl_bits`; `teacher/lead`, the student's KL less the teacher's in bits per character; `parameters`; `compute` in 10⁹ operations, and `total_compute`, with
        the teacher's training and outputs; `bytes_per_token` of what was read of the teacher.

    Raises:
        Unusable: the teacher's outputs in the cache are damaged.
        NotFinite: a loss is not.
        ValueError: the teacher's outputs are no distribution.
    """
    from ..lm.training import Recipe
    from ..measure.pages import keep_pages
    from .language import evaluate
    from .student import Student
    from .teacher import held_out_text, train_teacher
    from .text import Source

    keep_pages()  # or a tenth of a step goes into getting the pages back that the last one gave away
    source = Source(params.topics, params.words, params.vocabulary, params.columns)
    teacher = _teacher(params, source, context.seed)
    # Every variant has its teacher's figures, so that a teacher that is worse than its students is seen.
    _, of_teacher = train_teacher(context, teacher)
    if params.teacher == "oracle":
        of_teacher = dict.fromkeys(of_teacher, 0.0)
    taught = _taught(params, source, teacher, context)
    recipe = Recipe(params.steps, params.batch, lr=params.learning_rate)
    student = Student(_config(params, source), recipe, taught.lesson, context.seed, context.device)
    held_out = held_out_text(source, params.held_out).to(context.device)
    few = held_out[: max(1, len(held_out) // 4)]
    if (state := context.restore()) is not None:
        student.restore(state)
    else:
        _tell(evaluate(source.truth, few, student.model), student, source, context)
    losses: list[float] = [] if state is None else state["losses"]
    while student.step < params.steps:
        losses.append(student.learn())
        context.progress(student.step, params.steps)
        if student.step % params.eval_every == 0 or student.step == params.steps:
            context.record(student.step, loss=sum(losses) / len(losses))
            losses = []
            _tell(evaluate(source.truth, few, student.model), student, source, context)
            context.save(student.state() | {"losses": losses})
    found = evaluate(source.truth, held_out, student.model).measures()
    lead = found["kl_bits"] - of_teacher["kl_bits"]
    return found | {
        "invalid_words": _invalid_words(student, source, context),
        "teacher/kl": of_teacher["kl"],
        "teacher/kl_bits": of_teacher["kl_bits"],
        "teacher/lead": lead,
        "parameters": float(student.model.parameter_count),
        "compute": student.flops() / 1e9,
        "total_compute": (student.flops() + taught.flops) / 1e9,
        "bytes_per_token": taught.bytes_per_token,
    }


def _taught(params: Params, source: Source, teacher: Teacher, context: Context) -> Taught:
    """What the signals read of the teacher, from files that all variants share."""
    from .student import Lesson
    from .teacher import Lessons, transfer_text

    weights = signal_terms(params.signal)
    of = None if params.teacher == "oracle" else teacher
    lessons = Lessons(source, of, params.documents, params.temperature, params.rebuild)
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
    ids = transfer_text(source, params.documents)
    lesson = Lesson(ids, weights, outputs, states, heads, teacher.config, params.temperature, params.rest)
    flops = 0.0 if of is None or not (outputs or inside) else teacher.flops(params.documents)
    return Taught(lesson, size, flops)


def _tell(figures: Figures, student: Student, source: Source, context: Context) -> None:
    """A point of the curves, and what the student writes by then."""
    context.record(student.step, **{name: figures.measures()[name] for name in CURVES})
    [text] = _written(student, source, context, 1, min(SHOWN, source.columns - 1))
    context.sample(student.step, text)


def _invalid_words(student: Student, source: Source, context: Context) -> float:
    """The share of words in documents by the student that the language lacks."""
    from .language import invalid_words

    wrong, words = invalid_words(
        source.language, _written(student, source, context, WRITTEN, source.columns - 1)
    )
    return wrong / words if words else 0.0


def _written(student: Student, source: Source, context: Context, texts: int, tokens: int) -> list[str]:
    """What the student writes by itself."""
    import torch

    from ..lm.generation import generate

    view = source.view
    made = generate(
        student.model,
        [[view.eos]] * texts,
        max_new_tokens=tokens,
        eos=view.eos,
        pad=view.pad,
        generator=torch.Generator(context.device).manual_seed(context.seed),
    )
    return [view.decode(row, keep_eos=False) for row in made.ids.tolist()]


def _config(params: Params, source: Source, of: str = "") -> Config:
    """The shape of the student, or of the teacher (`of` is "teacher_")."""
    from ..lm.model import Config

    sizes: dict[str, Any] = {
        name: getattr(params, of + name) for name in ("d_model", "layers", "heads", "d_ff")
    }
    return Config(source.view.size, params.columns, kv_heads=sizes["heads"], **sizes)


def _teacher(params: Params, source: Source, seed: int) -> Teacher:
    from ..lm.training import Recipe
    from .teacher import Teacher

    recipe = Recipe(params.teacher_steps, params.teacher_batch, parts=1)
    return Teacher(
        source,
        _config(params, source, "teacher_"),
        recipe,
        params.teacher_documents,
        params.held_out,
        seed % params.teachers,
    )
