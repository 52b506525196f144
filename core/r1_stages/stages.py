"""The stages: each is made once, from the weights and the answers that its description names, and kept.

A stage's key is all that it depends on: its description, the key of the stage before it, that of the base model, and the code.
So variants that have a way in common go it together, and a stage that is there is not made again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..distill.on_policy import distill_step
from ..grpo.config import GRPOConfig
from ..grpo.params import grpo_config_of
from ..grpo.reward_spec import reward_terms, rewards_of
from ..grpo.tasks import Task
from ..grpo.trained_policy import content_of
from ..grpo.trainer import Policy, StepResult, make_policy, train_step
from ..lm.model import Transformer, restored
from ..lm.products import made_by
from ..lm.training import examples
from ..source_digest import source_digest
from ..trial import Context
from .evaluation import Measured, Yardsticks, tastes_of
from .params import BASE, Params, Stage
from .preference import Preference
from .prompts import both_kinds, judged_by, rewards_of_both
from .samples import accepted
from .taste import answers

MODEL, CURVE, MEASURED = "model.pt", "curve.json", "measured.json"

Curve = list[dict[str, float]]
"""The figures of each step, from the first on."""


@dataclass(frozen=True)
class Made:
    """A stage that is done, or the base model.

    Attributes:
        measured: by the yardsticks.
        curve: of its training, empty for the base model.
        key: all that its training depends on, in short.
    """

    name: str
    model: Transformer
    measured: Measured
    curve: Curve
    key: str


@dataclass(frozen=True)
class Setting:
    """What all stages of a seed have in common.

    Attributes:
        reasoning, general: tasks in the models' tokens.
        preference_key: of the preference model in the cache.
    """

    params: Params
    reasoning: Task
    general: Task
    preference: Preference
    preference_key: str
    yardsticks: Yardsticks
    context: Context

    def seed(self, name: str) -> list[int]:
        """Of a stage: by its place in the description, so that leaving out another does not change it."""
        return [self.context.seed, 1 + list(self.params.stages).index(name)]


def made_base(model: Transformer, key: str, setting: Setting) -> Made:
    """The base model as what the first stage comes after; measured once."""
    return Made(BASE, model, _measured(model, _digest(key), setting), [], _digest(key))


def made(name: str, stage: Stage, before: Made, base: Made, setting: Setting) -> Made:
    """A stage, from the cache or made now; from the last checkpoint of this trial, if that is of this stage.

    Raises:
        Refused: fewer samples can be taken of the stage before than are asked for.
        RewardError, NotFinite: its training stopped; the last checkpoint is kept.
    """
    params, context = setting.params, setting.context
    config = replace(
        grpo_config_of(params, setting.reasoning.longest_completion),
        steps=stage.steps,
        temperature=stage.temperature,
    )
    how: list[object] = [asdict(config), [content_of(name) for name in reward_terms(stage.reward)]]
    if stage.by == "samples":
        how = [
            config.parts,
            config.max_grad_norm,
            params.sample_batch,
            params.sample_learning_rate,
            params.most_answers,
        ]
        how += params.better_in_order if stage.demonstrations else ()
    if stage.general:
        how.append(setting.preference_key)
    description = stage.model_dump(exclude={"after"})
    where = [torch.device(context.device).type, *made_by(), source_digest(__name__)]
    key = _digest([description, how, setting.seed(name), before.key, base.key, *where])

    def write(folder: Path) -> None:
        model = copy.deepcopy(begins_at(stage, before, base).model)
        training = (
            _by_reward(name, stage, model, config, setting)
            if stage.by == "reward"
            else _by_samples(name, stage, model, before, config, setting)
        )
        curve = _trained(name, training, setting, key)
        torch.save(model.state(), folder / MODEL)
        (folder / CURVE).write_text(json.dumps(curve))

    folder = context.cached(json.dumps(["stage", key]), write)
    model = restored(torch.load(folder / MODEL, map_location="cpu", weights_only=True)).to(context.device)
    curve: Curve = json.loads((folder / CURVE).read_text())
    return Made(name, model, _measured(model, key, setting), curve, key)


def begins_at(stage: Stage, before: Made, base: Made) -> Made:
    """Whose weights a stage begins with: by reward those of the stage before it, by samples the base model's."""
    return before if stage.by == "reward" else base


def _measured(model: Transformer, key: str, setting: Setting) -> Measured:
    """By the yardsticks, once for each model and preference model."""
    params = setting.params
    by = [params.eval_problems, params.eval_samples, setting.context.seed, setting.preference_key]

    def write(folder: Path) -> None:
        (folder / MEASURED).write_text(json.dumps(asdict(setting.yardsticks.measure(model))))

    whole = json.dumps(["measured", key, by, source_digest(__name__)])
    return Measured(**json.loads((setting.context.cached(whole, write) / MEASURED).read_text()))


def _digest(key: object) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Training:
    """A policy, and `step` (policy, number from 1) to the figures of a step, of which there are `steps`."""

    policy: Policy
    steps: int
    step: Callable[[Policy, int], Mapping[str, float]]


def _by_reward(name: str, stage: Stage, model: Transformer, config: GRPOConfig, setting: Setting) -> Training:
    """GRPO on prompts of both kinds."""
    mixed = both_kinds(setting.reasoning, setting.general, stage.general)
    reasoning = rewards_of(stage.reward, setting.reasoning, setting.context.load)
    seed = int(np.random.default_rng(setting.seed(name)).integers(2**31))

    def step_of(policy: Policy, step: int) -> Mapping[str, float]:
        passed = (step - 1) / stage.steps
        task = mixed if passed >= stage.general_from else setting.reasoning
        is_judged = stage.preference_from is not None and passed >= stage.preference_from
        rewards = rewards_of_both(reasoning, setting.preference if is_judged else None)
        result = train_step(policy, task, rewards, config, seed=seed, step=step)
        return result.metrics | _of_general(result, setting)

    return Training(make_policy(model, config), stage.steps, step_of)


def _of_general(result: StepResult, setting: Setting) -> dict[str, float]:
    """Taste and score of a step's answers to general prompts; empty without such prompts."""
    batch = result.batch
    assert batch is not None  # grpo samples
    sampled = batch.rollout
    if not (tastes := tastes_of(sampled)):
        return {}
    scores = judged_by(setting.preference)(sampled.problems, sampled.texts)
    return {"taste": float(np.mean(tastes)), "score": sum(scores) / len(tastes)}


def _by_samples(
    name: str, stage: Stage, model: Transformer, before: Made, config: GRPOConfig, setting: Setting
) -> Training:
    """Next-token training on the filtered answers of the stage before it, and on demonstrations of better taste."""
    params, task, seed = setting.params, setting.reasoning, setting.seed(name)
    random = np.random.default_rng(seed)
    shown = accepted(before.model, task, stage.samples, params.most_answers, [*seed, 1], before.name)
    prompts = setting.general.problems(random, stage.demonstrations, "train")
    shown += answers(random, prompts, params.better_in_order)
    encode = task.vocabulary.encode
    data = examples([(encode(problem.prompt), encode(text)) for problem, text in shown], task.vocabulary.pad)
    each = math.ceil(len(shown) / params.sample_batch)
    order = np.concatenate(
        [part for _ in range(stage.epochs) for part in np.array_split(random.permutation(len(shown)), each)]
    )
    sizes = [len(part) for part in np.array_split(range(len(shown)), each)] * stage.epochs
    batches = np.split(order, np.cumsum(sizes)[:-1])

    def step_of(policy: Policy, step: int) -> Mapping[str, float]:
        batch = data.rows(torch.from_numpy(batches[step - 1]))
        return distill_step(
            policy.model,
            None,
            batch,
            policy.optimizer,
            loss="nll",
            parts=config.parts,
            max_grad_norm=config.max_grad_norm,
            step=step,
        )

    policy = make_policy(model, replace(config, beta=0.0, learning_rate=params.sample_learning_rate))
    return Training(policy, len(batches), step_of)


RECORDED = "loss", "reward", "right", "grad_norm", "kl", "entropy", "think_rate", "taste", "score"
"""Figures of a step that are kept, as `step/…`."""


def _trained(name: str, training: Training, setting: Setting, key: str) -> Curve:
    """The figures of all steps, from the trial's checkpoint on where that is of this stage."""
    context, policy, curve = setting.context, training.policy, list[dict[str, float]]()
    state = context.restore()
    if state is not None and state["stage"] == key:
        policy.restore(state["policy"])
        curve = state["curve"]
    for step in range(len(curve) + 1, training.steps + 1):
        figures = training.step(policy, step)
        curve.append({f"step/{each}": figures[each] for each in RECORDED if each in figures})
        context.progress(step, training.steps, name)
        if step % setting.params.eval_every == 0:
            context.save({"stage": key, "policy": policy.state(), "curve": curve})
    return curve
