"""One training: a base model or a given one, then reward alone.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..trial import Context
from .params import (
    Params,
    base_model_of,
    grpo_config_of,
    mixture_of,
    task_key,
    task_of,
    with_sft_demonstrations,
)
from .reward_spec import rewards_of

if TYPE_CHECKING:
    from ..lm.language_model import LanguageModel
    from .tasks import Task
    from .trainer import Batch

__all__ = ["Params", "trial"]


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Base model or a given one, then `steps` of GRPO, with evaluations before, between and after.

    Returns:
        The last evaluation's figures (`eval/…`), those of harder problems (`harder/…`), both of the base (`base/…` and
        `base/harder/…`, and where it was trained here `base/above_predicted`, by how much it is more often right than
        `predicted_accuracy` says), and by how much they changed, after minus before (`gain/…` and `gain/harder/…`);
        `train/…` is the mean over all steps; `distinct_problems` are the test problems, each counted once.

    Raises:
        ValueError: knobs that do not fit together, or a given model that cannot do the task.
        NoBaseModel: no base model inside the window.
        RewardError, NotFinite: training stopped; the last checkpoint is kept.
    """
    from .eval_set import eval_set
    from .trainer import policy, train_step

    task = task_of(params, context.load)
    rewards = rewards_of(params.reward, task, context.load)
    start = _start(params, task, context)
    model, settings = start.model, grpo_config_of(params, start.task.longest_completion)
    task = with_sft_demonstrations(params, start.task, context.load)
    trained = policy(model, settings)
    stays = trained.reference if settings.ref_model_sync_steps is None else None
    reference = stays if stays is not None else copy.deepcopy(model)
    judges = eval_set(
        task,
        params.eval_problems,
        params.eval_samples,
        settings.max_completion_length,
        context.seed,
        reference,
    )
    before: dict[str, float]
    after: dict[str, float]
    if (state := context.restore()) is not None:
        done, before, after, means = state["step"], state["before"], state["after"], state["means"]
        trained.restore(state["policy"])
    else:
        done, after = 0, judges.evaluate_and_record(model, 0, context)
        if params.model is not None:
            from .pretrained_model import check_window

            check_window(params.window, after["eval/pass@1"], params.model.hf)
        before = after | judges.harder(model)
        means = {}
    for step in range(done + 1, settings.steps + 1):
        seen = train_step(trained, task, rewards, settings, seed=context.seed, step=step)
        context.record(step, **seen.metrics)
        context.progress(step, settings.steps)
        _go_on(means, seen.metrics)
        if step % params.eval_every == 0 or step == settings.steps:
            after = judges.evaluate_and_record(model, step, context)
            if seen.batch is not None:
                context.sample(step, _group(seen.batch, settings.num_generations))
            state = {"step": step, "before": before, "after": after, "means": means}
            context.save(state | {"policy": trained.state()})
    final = after | judges.harder(model)
    of_base = {f"base/{name.removeprefix('eval/')}": value for name, value in before.items()}
    gains = {
        f"gain/{name.removeprefix('eval/')}": final[name] - value
        for name, value in before.items()
        if name in final
    }
    if params.model is None and (expected := judges.predicted(mixture_of(params))) is not None:
        of_base["base/above_predicted"] = before["eval/pass@1"] - expected
    of_steps = {f"train/{name}": total / count for name, (total, count) in means.items()}
    of_base |= {"base/rejected": float(start.rejected), "distinct_problems": float(judges.distinct)}
    return final | of_base | gains | of_steps


def _go_on(means: dict[str, tuple[float, int]], metrics: Mapping[str, float]) -> None:
    """Add a step to the sums of each metric and their counts; what took how long is no result."""
    for name, value in metrics.items():
        if "time" not in name:
            total, count = means.get(name, (0.0, 0))
            means[name] = total + value, count + 1


@dataclass(frozen=True)
class Start:
    """What reward begins with.

    Attributes:
        task: in the model's own tokens.
        rejected: base models that were trained before it and fell outside the window.
    """

    model: LanguageModel
    task: Task
    rejected: int


def _start(params: Params, task: Task, context: Context) -> Start:
    if params.model is not None:
        from .pretrained_model import load_pretrained

        given, task = load_pretrained(params.model.hf, task, mixture_of(params), params.max_completion_length)
        return Start(given.to(context.device), task, 0)
    from .base_model import load_base_model, make_base_model

    base = base_model_of(params, task)
    folder = context.cached(
        base.key(task_key(params, task), context.seed),
        lambda folder: make_base_model(folder, base, task, context.seed, _teller(context)),
    )
    model, facts = load_base_model(folder)
    return Start(model.to(context.device), task, facts["rejected"])


def _teller(context: Context) -> Callable[[int, int, str], None]:
    def told(done: int, of: int, answer: str) -> None:
        context.progress(done, of)
        context.sample(0, f"{answer}  (base model, {done} of {of})")

    return told


def _group(batch: Batch, num_generations: int) -> str:
    """One group's rewards becoming advantages."""
    rewards = batch.rewards[:num_generations].tolist()
    advantages = batch.advantages[:num_generations].tolist()
    prompt = batch.made.problems[0].prompt
    return f"{prompt} rewards {' '.join(f'{r:g}' for r in rewards)} -> advantages " + " ".join(
        f"{a:+.1f}" for a in advantages
    )
