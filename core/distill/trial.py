"""One training of `lab run kd`: a student that learns from one signal or several.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..trial import Context, Kernel
from .kernels import kernels_of_distillation
from .params import Params
from .shared_params import config_of, seed_of, source_of, student_of, teacher_of
from .signals import HEADS, RESPONSE, STATES, signal_terms

if TYPE_CHECKING:
    from .objective import Objective
    from .output_file import Outputs
    from .teacher import Teacher
    from .text import Source

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a student and of a teacher of ours."""
    return kernels_of_distillation()


@dataclass(frozen=True)
class Prepared:
    """An objective, and what its teacher costs.

    Attributes:
        bytes_per_token: of the teacher's files that the signals read, as they lie on the disk.
        tokens_kept: mean number of vocabulary entries stored at each position.
        flops: of the teacher's training and of its outputs; 0 where no signal reads a teacher.
    """

    objective: Objective
    bytes_per_token: float
    tokens_kept: float
    flops: float


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Take the teacher from the cache or train it, train the student, and measure its distance from the truth.

    Teacher, text, weights and order are the seed's, the same for all variants; held-out text is one for all seeds.

    Returns: `Evaluation.final` of the student; `teacher/kl`, `teacher/kl_bits`; `teacher/lead`, the student's
    KL less the teacher's in bits per character; `parameters`; `compute` in 10⁹ operations, and
    `total_compute`, with the teacher's training and outputs; `bytes_per_token` that was read of the teacher's
    files, and `tokens_kept`, the mean number of vocabulary entries that these hold at each position.

    Raises:
        Unusable: the teacher's outputs in the cache are damaged.
        NotFinite: a loss is not finite.
        ValueError: the teacher's outputs are no distribution.
    """
    from ..lm.training import Recipe
    from .evaluation import Evaluation, train_student
    from .student import Student
    from .teacher import held_out_text, train_teacher

    source = source_of(params)
    teacher = teacher_of(params, source, context)
    # Every variant has its teacher's figures, so that a teacher that is worse than its students is seen.
    _, of_teacher = train_teacher(context, teacher)
    if params.teacher == "oracle":
        of_teacher = dict.fromkeys(of_teacher, 0.0)
    prepared = prepare(params, source, teacher, context)
    recipe = Recipe(params.steps, params.batch, lr=params.learning_rate)
    model = student_of(config_of(params, source.view.size, params.columns), params, context)
    student = Student(model, recipe, prepared.objective, seed_of(params, context))
    evaluation = Evaluation(source.truth, held_out_text(source, params.held_out))
    train_student(student, evaluation, params.eval_every, context)
    found = evaluation.final(student)
    return found | {
        "teacher/kl": of_teacher["kl"],
        "teacher/kl_bits": of_teacher["kl_bits"],
        "teacher/lead": found["kl_bits"] - of_teacher["kl_bits"],
        "parameters": float(student.parameter_count),
        "compute": student.flops() / 1e9,
        "total_compute": (student.flops() + prepared.flops) / 1e9,
        "bytes_per_token": prepared.bytes_per_token,
        "tokens_kept": prepared.tokens_kept,
    }


def prepare(params: Params, source: Source, teacher: Teacher, context: Context) -> Prepared:
    """The objective of these signals; the teacher's outputs come from files that all variants share."""
    from .objective import Objective
    from .teacher import TeacherOutputs, transfer_text

    weights = signal_terms(params.signal)
    trained = None if params.teacher == "oracle" else teacher
    seed = seed_of(params, context)
    teacher_outputs = TeacherOutputs(
        source, trained, params.documents, seed, params.temperature, params.rebuild
    )
    counts = {"hard": 1, "draw": 1, "top-k": params.k, "sampled": params.draws}
    outputs = {
        name: teacher_outputs.full(context)
        if RESPONSE[name] == "full"
        else teacher_outputs.sparse(context, RESPONSE[name], counts[name])
        for name in weights
        if name in RESPONSE
    }
    states = teacher_outputs.states(context) if weights.keys() & set(STATES) else None
    heads = teacher_outputs.heads(context) if weights.keys() & set(HEADS) else None
    internals = [x for x in (states, heads) if x is not None]
    size = sum(output.bytes_per_token for output in outputs.values())
    size += sum(float(x[0].nbytes) for x in internals)
    ids = transfer_text(source, params.documents, seed)
    objective = Objective(
        ids, weights, outputs, states, heads, teacher.config, params.temperature, params.rest
    )
    flops = 0.0 if trained is None or not (outputs or internals) else teacher.flops(params.documents)
    return Prepared(objective, size, sum(map(_tokens_kept, outputs.values())), flops)


def _tokens_kept(outputs: Outputs) -> float:
    if outputs.kind.form != "sampled":
        return float(outputs.kind.width)
    import torch

    sampled: Any = outputs.read(torch.arange(outputs.tokens, device="cpu"))
    return float((sampled.counts > 0).sum()) / outputs.tokens
