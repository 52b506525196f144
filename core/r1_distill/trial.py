"""One training of `lab run r1-distill`: a base model that learns by one method, until its tokens are used up.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..lm.kernels import kernels_of_training
from ..trial import Context, Kernel, seeded
from .params import Params

__all__ = ["Params", "kernels", "trial"]

PRICE = "tokens", "gflop", "total_gflop", "forgotten"
WITHOUT_TEACHER = "rl", "sft-own", "sft-demos", "sft-generator"
"""Methods that no teacher's training is charged for; all students are measured against one."""


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of models of ours; pretrained ones have their own operations."""
    return kernels_of_training() if params.model is None else ()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Train a student by `method` for `tokens`; measure it before, during and after.

    Base model, teacher, traces and problems are the seed's, the same for all methods.

    Returns: `eval/…`: the last evaluation, see `evaluation.Evaluation.measure`; `base/…`: the first. `eval/one_of_many`
    and `base/one_of_many`: the share of problems that `many` samples solve; `gain/…`: after minus before. `forgotten`: by
    how much the second task's loss has risen, nats per token. `steps`, `tokens`, `gflop`, and `total_gflop` with all that
    the teacher takes. `to_reach/…`: these three and `forgotten` where the share of right samples first reaches `reach`;
    left out if it never does. `teacher/pass@1`; `teacher/lead`, that less the base model's.

    Raises:
        Refused: none of the teacher's answers is right, and the method is shown these.
        ValueError: parameters, or a student and a teacher, that do not fit together.
        NoBaseModel: no base model is inside the window.
        RewardError, NotFinite: training stopped; the last checkpoint is kept.
    """
    from ..grpo.eval_set import draw_eval_set
    from ..grpo.params import also_of, grpo_config_of, mixture_of, task_of
    from ..grpo.reward_spec import rewards_of
    from ..grpo.start import start
    from .account import figures_at
    from .evaluation import Evaluation, other_demonstrations
    from .methods import OF_TRACES, Lesson
    from .teacher import teacher_of, traces_of
    from .traces import deep_task
    from .training import train

    context = seeded(context, params.first_seed)
    begun = start(params, task_of(params, context.load), context)
    student, task, seed = begun.model, begun.task, context.seed
    config = grpo_config_of(params, task.longest_completion)
    teacher = teacher_of(params, task, context)
    traces = traces_of(params, teacher, task, config, context) if params.method in OF_TRACES else None
    rewards = rewards_of(params.reward, task, context.load)
    deep = deep_task(params, task, context.load)
    lesson = Lesson(task, deep, rewards, config, teacher.model, traces, params.trace, seed)
    problems = draw_eval_set(
        task, params.eval_problems, params.eval_samples, config.max_completion_length, seed
    )
    # A given model's tokenizer writes prompts, not demonstrations.
    other = (
        other_demonstrations(also_of(params), task, mixture_of(params), seed)
        if params.also and params.model is None
        else None
    )
    evaluation = Evaluation(problems, teacher.model, other, params.many)
    of_many = evaluation.one_of_many(student)
    charged = 0.0 if params.method in WITHOUT_TEACHER else teacher.training
    progress = train(student, params, lesson, evaluation, charged, context)
    first, last = progress.points[0], progress.points[-1]
    of_teacher = problems.evaluate(teacher.model, "test")[0]["eval/pass@1"]
    before, after = (_of_answers(point) for point in (first, last))
    before["one_of_many"], after["one_of_many"] = of_many, evaluation.one_of_many(student)
    at = figures_at(progress.points, "eval/pass@1", params.reach) or {}
    return {
        **{name: last[name] for name in PRICE if name in last},
        **{f"to_reach/{name}": at[name] for name in PRICE if name in at},
        **{f"eval/{name}": value for name, value in after.items()},
        **{f"base/{name}": value for name, value in before.items()},
        **{f"gain/{name}": value - before[name] for name, value in after.items() if name in before},
        "steps": float(progress.step),
        "distinct_problems": float(problems.distinct),
        "teacher/pass@1": of_teacher,
        "teacher/lead": of_teacher - before["pass@1"],
    }


def _of_answers(point: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("eval/"): x for name, x in point.items() if name.startswith("eval/")}
