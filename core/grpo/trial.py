"""One training with GRPO, from a base model or a pretrained one.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..lm.kernels import kernels_of_training
from ..trial import Context, Kernel
from .params import Params, grpo_config_of, task_of, with_sft_demonstrations
from .reward_spec import rewards_of

if TYPE_CHECKING:
    from .tasks import Task
    from .trainer import Batch

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a model of ours; a pretrained one has its own operations."""
    return kernels_of_training() if params.model is None else ()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Train for `steps` of GRPO from a base model or a pretrained one; evaluate before, during and after.

    Returns: `eval/…`: the last evaluation. `harder/…`: the same on harder problems. `base/…` and `base/harder/…`: both
    before training. `gain/…` and `gain/harder/…`: after minus before. `base/rejected`: base models outside the window
    before this one.
    `train/…`: means over all steps. `distinct_problems`: the number of different test problems.

    Raises:
        ValueError: parameters that do not fit together, or a pretrained model that does not fit the task.
        NoBaseModel: no base model is inside the window.
        RewardError, NotFinite: training stopped; the last checkpoint is kept.
    """
    from .eval_set import draw_eval_set
    from .start import start
    from .trained_policy import Facts, keep_policy
    from .trainer import make_policy, train_step

    task = task_of(params, context.load)
    rewards = rewards_of(params.reward, task, context.load)
    context.sample(0, question(task))
    begun = start(params, task, context)
    model, config = begun.model, grpo_config_of(params, begun.task.longest_completion)
    task = with_sft_demonstrations(params, begun.task, context.load)
    policy = make_policy(model, config)
    fixed = policy.reference if config.ref_model_sync_steps is None else None
    reference = fixed if fixed is not None else copy.deepcopy(model)
    eval_set = draw_eval_set(
        task, params.eval_problems, params.eval_samples, config.max_completion_length, context.seed, reference
    )
    before: dict[str, float]
    after: dict[str, float]
    if (state := context.restore()) is not None:
        done, before, after, sums = state["step"], state["before"], state["after"], state["means"]
        policy.restore(state["policy"])
    else:
        done, after = 0, eval_set.evaluate_and_record(model, 0, context)
        if params.model is not None:
            from .pretrained_model import check_window

            check_window(params.window, after["eval/pass@1"], params.model.hf)
        before = after | eval_set.evaluate_harder(model)
        sums = {}
    for step in range(done + 1, config.steps + 1):
        result = train_step(policy, task, rewards, config, seed=context.seed, step=step)
        context.record(step, **result.metrics)
        context.progress(step, config.steps)
        _add(sums, result.metrics)
        if step % params.eval_every == 0 or step == config.steps:
            after = eval_set.evaluate_and_record(model, step, context)
            if result.batch is not None:
                context.sample(step, _first_group(result.batch, config.num_generations))
            state = {"step": step, "before": before, "after": after, "means": sums}
            context.save(state | {"policy": policy.state()})
    keep_policy(params, begun.task, model, Facts(int(sums["num_tokens"][0]), config.steps), context)
    final = after | eval_set.evaluate_harder(model)
    of_base = {f"base/{name.removeprefix('eval/')}": value for name, value in before.items()}
    gains = {
        f"gain/{name.removeprefix('eval/')}": final[name] - value
        for name, value in before.items()
        if name in final
    }
    of_steps = {f"train/{name}": total / count for name, (total, count) in sums.items()}
    of_base |= {"base/rejected": float(begun.rejected), "distinct_problems": float(eval_set.distinct)}
    return final | of_base | gains | of_steps


def _add(sums: dict[str, tuple[float, int]], metrics: Mapping[str, float]) -> None:
    """Add a step to the sum and the count of each metric, except for times, which are no results."""
    for name, value in metrics.items():
        if "time" not in name:
            total, count = sums.get(name, (0.0, 0))
            sums[name] = total + value, count + 1


def question(task: Task) -> str:
    """The task in a line: `7+6+0+2= ?  the last digit of the sum: 5`."""
    import numpy as np

    problem = task.problems(np.random.default_rng(0), 1, "test")[0]
    return f"{problem.prompt} ?  {task.goal or task.name}: {problem.answer}"


def _first_group(batch: Batch, num_generations: int) -> str:
    """A line to show: the rewards of the first group, and the advantages that they become."""
    rewards = batch.rewards[:num_generations].tolist()
    advantages = batch.advantages[:num_generations].tolist()
    prompt = batch.rollout.problems[0].prompt
    return f"{prompt} rewards {' '.join(f'{r:g}' for r in rewards)} -> advantages " + " ".join(
        f"{a:+.1f}" for a in advantages
    )
