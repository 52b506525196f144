"""One sampler at one point, `lab run power-sampling`: what it answers, how long that is and what it took.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..grpo.params import task_of
from ..grpo.trial import question
from ..lm.kernels import kernels_of_training
from ..trial import Context, Kernel
from .params import Params

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a model of ours; a pretrained one has its own operations."""
    return kernels_of_training() if params.model is None else ()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Answer the test problems of `grpo`'s trial of this seed with one sampler, from its base model.

    Returns: `samplers.Answered.metrics`; of power-mcmc the `acceptance` of its proposals, of power the share of p^α left
    `uncovered`, at most; `training`, tokens that the policy learnt from, which for grpo are in `spent` by the share of one
    of `shared_by` answers.

    Raises:
        Refused: power of an alpha below 1, or of a problem whose tree is too large to enumerate.
        ValueError, NoBaseModel, NotFinite: as in `grpo`'s trial.
    """
    from ..grpo.eval_set import draw_eval_set
    from ..grpo.start import start
    from ..grpo.trained_policy import trained_policy
    from .samplers import Setting, answer

    task = task_of(params, context.load)
    context.sample(0, question(task))
    tokens = 0
    if params.sampler == "grpo":
        trained = trained_policy(params, context)
        model, task, tokens = trained.model, trained.task, trained.facts.tokens
    else:
        begun = start(params, task, context)
        model, task = begun.model, begun.task
    longest = params.max_completion_length or task.longest_completion
    problems = draw_eval_set(task, params.eval_problems, params.eval_samples, longest, context.seed).problems[
        "test"
    ]
    answered = answer(Setting(model, task, problems, params, longest, context.seed, context.progress))
    text, right = answered.shown
    context.sample(0, f"{problems[0].prompt} {text.removesuffix('<eos>')}  {'right' if right else 'wrong'}")
    spent = answered.metrics["spent"] + tokens / params.shared_by
    return {**answered.metrics, "spent": spent, "training": float(tokens)}
