"""GRPO with a scorer of prefixes as the reward: what is then learnt, by the score and in truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...grpo.params import grpo_config_of
from ...grpo.rewards import StepRewards, WeightedRewards
from ...grpo.tasks import Problem
from ...grpo.trainer import make_policy, train_step
from ...lm.language_model import LanguageModel
from ...source_digest import source_digest
from ...trial import Context
from .answers import answer_scores, is_right, sound
from .params import Params, scorer_of
from .scorers import Scorer, Trunk
from .texts import Texts, Writer

NAME = "score"
FILE = "policy.pt"
WATCHED = "reward", "entropy", "grad_norm"


def train(
    model: LanguageModel,
    params: Params,
    trunk: Trunk,
    scorer: Scorer,
    problems: Sequence[Problem],
    context: Context,
) -> dict[str, float]:
    """Train in place, and watch the score and the truth on `problems` every `eval_every` steps. What reward for right answers
    comes to is kept for `policy`.

    Returns: `right`, `sound`, `score` and `length` at the end; `gain/…`, the end minus the beginning; `late/…`, the end minus
    the middle of the training.
    """
    config = grpo_config_of(params, trunk.longest)
    policy, rewards = make_policy(model, config), _reward(scorer, trunk, params.aggregate)
    writer = Writer(model, trunk.task, problems, trunk.longest, trunk.ends)

    def evaluated(step: int) -> dict[str, float]:
        generator = torch.Generator(context.device).manual_seed(context.seed)
        start = writer.start()
        answers = writer.whole(start.rows(np.repeat(np.arange(len(start)), params.eval_samples)), generator)
        found = {
            "right": float(is_right(writer, answers).mean()),
            "score": float(answer_scores(scorer, writer, answers, params.aggregate).mean()),
            "length": float(answers.tokens.mean()),
        }
        if trunk.steps is not None:
            found["sound"] = float(sound(writer, trunk.steps, answers).mean())
        context.record(step, **found)
        context.sample(step, f"{problems[0].prompt} {writer.texts(answers)[0].removesuffix('<eos>')}")
        return found

    state = context.restore()
    if state is None:
        history: dict[int, dict[str, float]] = {0: evaluated(0)}
    else:
        history = dict(state["history"])
        policy.restore(state["policy"])
    for step in range(max(history) + 1, config.steps + 1):
        metrics = train_step(policy, trunk.task, rewards, config, seed=context.seed, step=step).metrics
        context.record(step, **{name: metrics[name] for name in WATCHED})
        context.progress(step, config.steps)
        if step % params.eval_every == 0 or step == config.steps:
            history[step] = evaluated(step)
            context.save({"history": history, "policy": policy.state()})
    if scorer_of(params) == "accuracy" and params.aggregate == "last":
        context.cached(policy_key(params, trunk, context), lambda folder: _write(folder, model))
    first, last = history[0], history[config.steps]
    middle = history[min(history, key=lambda step: abs(step - config.steps / 2))]
    gains = {f"gain/{name}": value - first[name] for name, value in last.items()}
    return last | gains | {f"late/{name}": value - middle[name] for name, value in last.items()}


def policy(
    model: LanguageModel, params: Params, trunk: Trunk, scorer: Scorer, context: Context
) -> LanguageModel:
    """The model after the training by reward for right answers, from the cache where it is there; `model` is changed."""
    config = grpo_config_of(params, trunk.longest)

    def make(folder: Path) -> None:
        made = make_policy(model, config)
        rewards = _reward(scorer, trunk, "last")
        for step in range(1, config.steps + 1):
            train_step(made, trunk.task, rewards, config, seed=context.seed, step=step)
            context.progress(step, config.steps, "policy")
        _write(folder, model)

    folder = context.cached(policy_key(params, trunk, context), make)
    model.load_state_dict(torch.load(folder / FILE, map_location=context.device, weights_only=True))
    return model


def _write(folder: Path, model: LanguageModel) -> None:
    torch.save(model.state_dict(), folder / FILE)


def policy_key(params: Params, trunk: Trunk, context: Context) -> str:
    """The cache key of `policy`: the base model, and all that its training depends on."""
    config = asdict(grpo_config_of(params, trunk.longest))
    how = [trunk.key, context.seed, context.device, trunk.longest, config, source_digest(__name__)]
    return json.dumps(["search policy", *how], sort_keys=True)


def _reward(scorer: Scorer, trunk: Trunk, aggregate: str) -> StepRewards:
    def rate(problems: Sequence[Any], completions: Sequence[str]) -> list[float]:
        places: dict[int, int] = {}
        number = [places.setdefault(id(problem), len(places)) for problem in problems]
        distinct = list({id(problem): problem for problem in problems}.values())
        writer = Writer(trunk.model, trunk.task, distinct, trunk.longest, trunk.ends)
        ids = tuple(tuple(trunk.task.vocabulary.encode(text)) for text in completions)
        answers = Texts(np.array(number), ids, np.ones(len(ids), dtype=bool))
        found: list[float] = answer_scores(scorer, writer, answers, aggregate).tolist()
        return found

    return lambda random: WeightedRewards({NAME: rate}, {NAME: 1.0})
