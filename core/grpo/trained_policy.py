"""The policy that a training ends with, kept for experiments that begin where `grpo` ends."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..lm.language_model import LanguageModel
from ..lm.model import Transformer, restored
from ..lm.products import made_by
from ..own_files import digest, is_reference
from ..source_digest import source_digest
from ..trial import Context
from .params import Params, base_model_of, grpo_config_of, task_key, task_of, with_sft_demonstrations
from .reward_spec import reward_terms, rewards_of
from .start import start
from .tasks import Task
from .trainer import make_policy, train_step

POLICY, FACTS = "policy.pt", "policy.json"


@dataclass(frozen=True)
class Facts:
    """What a training took.

    Attributes:
        tokens: of the completions that it learnt from; of the demonstrations for sft.
        steps: of the trainer.
    """

    tokens: int
    steps: int


@dataclass(frozen=True)
class Trained:
    """A trained policy; `task` is in its tokens."""

    model: LanguageModel
    task: Task
    facts: Facts


def trained_policy(params: Params, context: Context) -> Trained:
    """The policy that `grpo`'s trial ends with for these parameters and this seed: equal bit for bit.

    From the cache, where that trial or this function left it; otherwise trained now, without evaluations. One that
    begins with a pretrained model is not kept.

    Raises: what `grpo`'s trial raises, but for the window of a pretrained model.
    """
    task = task_of(params, context.load)
    begun = start(params, task, context)
    if params.model is not None:
        return Trained(begun.model, begun.task, _train(params, begun.model, begun.task, context))
    folder = context.cached(
        policy_key(params, task, context.seed, context.device),
        lambda folder: _write(folder, begun.model, _train(params, begun.model, task, context)),
    )
    model = restored(torch.load(folder / POLICY, map_location="cpu", weights_only=True))
    return Trained(model.to(context.device), task, Facts(**json.loads((folder / FACTS).read_text())))


def keep_policy(params: Params, task: Task, model: LanguageModel, facts: Facts, context: Context) -> None:
    """Keep what `grpo`'s trial ends with for `trained_policy`; `task` is that of `start`."""
    if params.model is None:
        context.cached(
            policy_key(params, task, context.seed, context.device),
            lambda folder: _write(folder, model, facts),
        )


def policy_key(params: Params, task: Task, seed: int, device: str) -> str:
    """The cache key: all that a training depends on, its evaluations apart, code included.

    Of a user's files it has digests, not of what they import.
    """
    words = task_key(params, task)
    rewards = [[content_of(name), weight] for name, weight in reward_terms(params.reward).items()]
    config = asdict(grpo_config_of(params, task.longest_completion))
    base = base_model_of(params, task).key(words, seed)
    where = [torch.device(device).type, *made_by(), source_digest(__name__)]
    return json.dumps(["policy", base, config, params.sft_shown, rewards, *where], sort_keys=True)


def content_of(reward: str) -> str:
    """A built-in reward's name; a function's in a file of the user's, with what the file holds in place of its path."""
    if not is_reference(reward):
        return reward
    file, _, function = reward.rpartition(":")
    return f"{digest(Path(file))}:{function}"


def _write(folder: Path, model: LanguageModel, facts: Facts) -> None:
    assert isinstance(model, Transformer)  # pretrained ones are not kept
    torch.save(model.state(), folder / POLICY)
    (folder / FACTS).write_text(json.dumps(asdict(facts)))


def _train(params: Params, model: LanguageModel, task: Task, context: Context) -> Facts:
    """The steps of `trial.trial`, and nothing between them."""
    rewards = rewards_of(params.reward, task, context.load)
    config = grpo_config_of(params, task.longest_completion)
    shown = with_sft_demonstrations(params, task, context.load)
    policy, tokens = make_policy(model, config), 0.0
    for step in range(1, config.steps + 1):
        metrics = train_step(policy, shown, rewards, config, seed=context.seed, step=step).metrics
        tokens += metrics["num_tokens"]
        context.progress(step, config.steps, "policy")
    return Facts(int(tokens), config.steps)
