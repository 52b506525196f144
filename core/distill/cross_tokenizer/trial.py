"""One training of `lab run kd-cross-tokenizer`: a student whose tokens are not its teacher's.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...trial import Context, Kernel
from ..kernels import kernels_of_distillation
from .params import Params

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a student and of a teacher of ours."""
    return kernels_of_distillation()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Take the teacher from the cache, train it, or load a pretrained one; train the student, and measure both.

    Teacher, text, weights and order are the seed's, the same for all variants but `teacher-text`; held-out text is
    one for all seeds.

    Returns: of a student of characters `Figures.measures` on held-out text. Of any `bits`, −log₂ of held-out
    text in its own tokens by the text's bytes; where the language is known `excess_bits`, that less the
    truth's own: an unbiased estimate of `kl_bits`, and where tokens are no characters an upper bound, since
    only one way to write the text counts. `teacher/…` the teacher's own; `lead`, the student's excess (or
    bits) less its teacher's; `parameters`; `compute` in 10⁹ operations and `total_compute` with the
    teacher's; `bytes_per_character` that was read of the teacher's files.

    Raises:
        Unusable: the teacher's outputs in the cache are damaged.
        NotFinite: a loss is not finite.
        ValueError: texts that do not align, vocabularies without a common token, or a loss that these do not fit.
    """
    from ..evaluation import train_student
    from .models import set_up

    training = set_up(params, context)
    student, evaluation = training.student, training.evaluation
    context.sample(0, training.figure)
    train_student(student, evaluation, params.eval_every, context)
    found = evaluation.final(student)
    name = "excess_bits" if "excess_bits" in found else "bits"
    return found | {
        "lead": found[name] - found[f"teacher/{name}"],
        "parameters": float(student.parameter_count),
        "compute": student.flops() / 1e9,
        "total_compute": (student.flops() + training.teacher_flops) / 1e9,
        "bytes_per_character": training.bytes_per_character,
    }
