"""The training of a student: steps of its method until its tokens are used up, with evaluations and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from ..grpo.trainer import Policy, make_policy
from ..lm.language_model import LanguageModel
from ..trial import Context
from .account import Account
from .evaluation import Evaluation
from .methods import METHODS, METRICS, SECOND, Lesson
from .params import Params

BY_REWARD = "rl", "sft-own"
"""Methods whose learning rate is that of reward."""


@dataclass
class Progress:
    """What a training has come to.

    Attributes:
        account: what its steps have used.
        points: the figures of all evaluations, that before training first.
    """

    step: int = 0
    account: Account = Account()
    points: list[dict[str, float]] = field(default_factory=list)


def train(
    student: LanguageModel,
    params: Params,
    lesson: Lesson,
    evaluation: Evaluation,
    teacher_training: float,
    context: Context,
) -> Progress:
    """Train in place, from the last checkpoint if there is one.

    Args:
        teacher_training: operations of the teacher's own training, where the method needs one; else 0.

    Raises RewardError, NotFinite: training stopped; the last checkpoint is kept.
    """
    progress, state = Progress(), context.restore()
    if state is not None:
        progress = Progress(state["step"], Account(**state["account"]), state["points"])
    method = _method_at(params, progress.account.tokens) if state is None else state["method"]
    policy = _policy(student, method, params, lesson)
    if state is not None:
        policy.restore(state["policy"])
    else:
        _evaluate(policy, method, progress, evaluation, teacher_training, context)
    while progress.account.tokens < params.tokens:
        if (now := _method_at(params, progress.account.tokens)) != method:
            # The second part has an optimizer of its own, and the reference of reward is what the traces have made.
            method, policy = now, _policy(student, now, params, lesson)
        progress.step += 1
        done = METHODS[method](policy, lesson, progress.step)
        progress.account += done.account
        context.record(progress.step, **{name: x for name, x in done.metrics.items() if name in METRICS})
        context.progress(min(int(progress.account.tokens), params.tokens), params.tokens)
        if progress.step % params.eval_every == 0 or progress.account.tokens >= params.tokens:
            _evaluate(policy, method, progress, evaluation, teacher_training, context)
    return progress


def _method_at(params: Params, tokens: float) -> str:
    """The method after so many tokens."""
    if params.method not in SECOND:
        return params.method
    return "sft-traces" if tokens < params.sft_share * params.tokens else SECOND[params.method]


def _policy(student: LanguageModel, method: str, params: Params, lesson: Lesson) -> Policy:
    config = lesson.config
    if method not in BY_REWARD:
        config = replace(config, learning_rate=params.imitation_learning_rate)
    # Only reward is held near the model that it begins with.
    return make_policy(student, config if method == "rl" else replace(config, beta=0.0))


def _evaluate(
    policy: Policy,
    method: str,
    progress: Progress,
    evaluation: Evaluation,
    teacher_training: float,
    context: Context,
) -> None:
    """Evaluate, record what it took, and keep a checkpoint."""
    account = progress.account
    metrics = evaluation.measure(policy.model, progress.step, context)
    metrics |= {
        "tokens": account.tokens,
        "gflop": account.student / 1e9,
        "total_gflop": (account.student + account.teacher + teacher_training) / 1e9,
    }
    if "other_loss" in metrics:
        first = progress.points[0] if progress.points else metrics
        metrics["forgotten"] = metrics["other_loss"] - first["other_loss"]
    context.record(progress.step, **metrics)
    progress.points.append(metrics)
    state = {"step": progress.step, "account": asdict(account), "points": progress.points}
    context.save(state | {"method": method, "policy": policy.state()})
