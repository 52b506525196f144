"""One step of GRPO: sample groups, score them, compare within each group, update.

Shao et al., "DeepSeekMath" (arXiv:2402.03300), Algorithm 1. Everything random in a step is drawn from the seed and the
number of the step, so that a run which goes on from a checkpoint draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..lm.gradients import add_gradients
from ..lm.language_model import LanguageModel
from ..lm.not_finite import NotFinite
from ..lm.scoring import Sequences, joined, log_probs
from ..lm.training import adamw, examples, learn
from .advantages import group_advantages, zero_spread
from .config import GRPOConfig
from .evaluation import solved
from .losses import LossParts, count_items, loss_parts
from .rewards import WeightedRewards
from .rollout import Rollout, rollout, rows_of_groups, select_groups, together
from .tasks import Task

Rewards = Callable[[np.random.Generator], WeightedRewards]
"""What a step earns, made anew for each step with randomness of its own."""


@dataclass
class Policy:
    """A model in training, its optimizer, and the model that it is held to, if any."""

    model: LanguageModel
    optimizer: torch.optim.Optimizer
    reference: LanguageModel | None

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs."""
        reference = None if self.reference is None else self.reference.state_dict()
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "reference": reference,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])


def policy(model: LanguageModel, settings: GRPOConfig) -> Policy:
    """A fresh start from a base model, which is also the reference where `beta` holds the policy to one."""
    reference = copy.deepcopy(model) if settings.beta > 0 else None
    return Policy(model, adamw(model.parameters(), settings.learning_rate), reference)


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        rewards, advantages: (completions,). The advantage of rft is 1 for an answer that it learns and 0 for the others.
        mask: (completions, tokens), the tokens that count.
    """

    made: Rollout
    sequences: Sequences
    rewards: Tensor
    advantages: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Step:
    """What a step has seen: metrics under TRL's names and ours, and the batch itself; sft samples none."""

    metrics: dict[str, float]
    batch: Batch | None


def train_step(
    trained: Policy, task: Task, rewards: Rewards, settings: GRPOConfig, *, seed: int, step: int
) -> Step:
    """Step number `step`, from 1.

    Raises:
        RewardError: a reward raised, or returned what is no score.
        NotFinite: the loss or a gradient is not; the message names the step and the tensor.
    """
    began = time.perf_counter()
    random = np.random.default_rng([seed, step])
    batch, shown = None, None
    if settings.algorithm == "sft":
        shown, metrics = _demonstrated(task, settings, random)
    else:
        try:
            batch, metrics = _sampled(trained.model, task, rewards, settings, random)
        except NotFinite as error:
            raise NotFinite(f"{error} at step {step}") from error
        if settings.algorithm == "rft":
            shown = batch.sequences.rows(batch.advantages.nonzero().squeeze(1))
    sampled = time.perf_counter()
    if shown is not None:
        metrics |= _imitated(trained, shown, settings, step)
    elif batch is not None:
        metrics |= _update(trained, batch, settings, step)
    if (
        settings.ref_model_sync_steps
        and step % settings.ref_model_sync_steps == 0
        and trained.reference is not None
    ):
        trained.reference.load_state_dict(trained.model.state_dict())
    ended = time.perf_counter()
    metrics |= {
        "learning_rate": settings.learning_rate,
        "step_time": ended - began,
        "time/generate": sampled - began,
        "time/update": ended - sampled,
    }
    return Step(metrics, batch)


def _sampled(
    model: LanguageModel, task: Task, rewards: Rewards, settings: GRPOConfig, random: np.random.Generator
) -> tuple[Batch, dict[str, float]]:
    """Groups of completions with their advantages.

    With dynamic sampling, groups in which all earn the same are sampled anew, with other problems.
    """
    G, device = settings.num_generations, model.embedding.weight.device
    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    score = rewards(random)
    kept: list[Rollout] = []
    earned: list[dict[str, np.ndarray]] = []  # by reward, and under "" all together
    missing = settings.num_prompts
    for rounds_left in range(settings.dynamic_sampling - 1, -1, -1):
        made = rollout(
            model,
            task,
            task.problems(random, missing, "train"),
            num_generations=G,
            max_completion_length=settings.max_completion_length,
            temperature=settings.temperature,
            generator=generator,
        )
        scores = score(made.problems, made.texts)
        columns = {name: np.array(values) for name, values in {**scores.values, "": scores.total}.items()}
        groups = np.arange(missing)
        if rounds_left:
            groups = groups[
                ~zero_spread(torch.tensor(scores.total, dtype=torch.float32, device="cpu"), G).numpy()
            ]
        rows = rows_of_groups(groups, G)
        kept.append(select_groups(made, groups, G))
        earned.append({name: values[rows] for name, values in columns.items()})
        missing -= len(groups)
        if missing == 0:
            break
    made = together(kept, task.vocabulary.pad)
    by_reward = {name: np.concatenate([each[name] for each in earned]) for name in earned[0]}
    total = torch.tensor(by_reward.pop(""), dtype=torch.float32, device=device)
    completions = made.completions
    mask = completions.mask
    if settings.mask_truncated_completions:
        mask = mask & completions.finished[:, None]
    sequences = joined(made.prompts, completions.ids, completions.lengths, task.vocabulary.pad)
    if settings.algorithm == "rft":
        advantages = (total >= score.most - 1e-6).float()
    else:
        advantages = group_advantages(total, G, settings.scale_rewards)
    batch = Batch(made, sequences, total, advantages, mask)
    return batch, _sampling_metrics(batch, by_reward, G)


def _demonstrated(
    task: Task, settings: GRPOConfig, random: np.random.Generator
) -> tuple[Sequences, dict[str, float]]:
    """Demonstrations for one step of sft."""
    count, encode = settings.num_prompts * settings.num_generations, task.vocabulary.encode
    pairs: list[tuple[list[int], list[int]]] = []
    tokens = 0
    while not pairs or tokens < (settings.sft_tokens or 0):
        for problem, text in task.demonstrations(random, count, settings.mixture):
            pairs.append((encode(problem.prompt), encode(text)))
            tokens += len(pairs[-1][1])
            if settings.sft_tokens and tokens >= settings.sft_tokens:
                break
    return examples(pairs, task.vocabulary.pad), {
        "num_tokens": float(tokens),
        "completions/mean_length": tokens / len(pairs),
    }


@dataclass
class _Part:
    """Completions of like length, which are computed together; what the first update finds out serves the others.

    Attributes:
        sampled: their log-probs when they were sampled.
        share: of the batch's tokens that count.
        old_logp, ref_logp: log-probs before the first update, and of the reference.
    """

    sequences: Sequences
    advantages: Tensor
    mask: Tensor
    sampled: Tensor
    share: float
    old_logp: Tensor | None = None
    ref_logp: Tensor | None = None

    @property
    def off(self) -> float:
        """By how much sampler and update differ in a log-prob, at most."""
        assert self.old_logp is not None
        return float(((self.old_logp - self.sampled) * self.mask).abs().max())


def _update(trained: Policy, batch: Batch, settings: GRPOConfig, step: int) -> dict[str, float]:
    """`num_iterations` updates on one batch, each computed in parts of completions of like length."""
    model, parts = trained.model, _parts(batch, settings)
    items = count_items(batch.mask, settings.loss_type)

    def loss_of(part: _Part) -> tuple[Tensor, LossParts]:
        logp, _ = log_probs(model, part.sequences, settings.temperature)
        if part.old_logp is None:
            # In bfloat16 sampler and update differ by more than rounding: the ratio is to begin at exactly 1.
            part.old_logp = logp.detach()
            if trained.reference is not None:
                with torch.no_grad():
                    part.ref_logp, _ = log_probs(trained.reference, part.sequences, settings.temperature)
        found = loss_parts(
            logp,
            part.old_logp,
            part.advantages,
            part.mask,
            loss_type=settings.loss_type,
            epsilon=settings.epsilon,
            epsilon_high=settings.epsilon_high,
            beta=settings.beta,
            ref_logp=part.ref_logp,
            max_completion_length=settings.max_completion_length,
            kl=settings.kl,
            num_items=items,
        )
        return found.loss, found

    sums: dict[str, float] = dict.fromkeys(("loss", "policy_loss", "grad_norm"), 0.0)
    for _ in range(settings.num_iterations):
        for part, found in zip(parts, add_gradients(model, parts, loss_of), strict=True):
            sums["loss"] += float(found.loss.detach())
            sums["policy_loss"] += float(found.policy)
            for name, value in found.metrics.items():
                sums[name] = sums.get(name, 0.0) + part.share * float(value)
        if not math.isfinite(sums["loss"]):
            raise NotFinite(f"the loss is {sums['loss']} at step {step}")
        sums["grad_norm"] += _clipped(model, settings.max_grad_norm, step)
        trained.optimizer.step()
        trained.optimizer.zero_grad(set_to_none=True)
    means = {name: value / settings.num_iterations for name, value in sums.items()}
    if parts:
        means["sampling/sampling_logp_difference/max"] = max(part.off for part in parts)
    return means


def _parts(batch: Batch, settings: GRPOConfig) -> list[_Part]:
    """The completions that count, in parts of about equal work."""
    counts = batch.mask.any(1)
    if settings.drop_zero_spread and settings.beta == 0:
        counts &= batch.advantages != 0
    kept, tokens = counts.nonzero().squeeze(1), max(float(batch.mask.sum()), 1.0)
    made = []
    for part in batch.sequences.rows(kept).by_length(settings.parts):
        rows = kept[part]
        some = batch.sequences.rows(rows)
        width = int(some.lengths.max())
        mask, sampled = batch.mask[rows, :width], batch.made.completions.log_probs[rows, :width]
        made.append(_Part(some, batch.advantages[rows], mask, sampled, float(mask.sum()) / tokens))
    return made


def _imitated(trained: Policy, shown: Sequences, settings: GRPOConfig, step: int) -> dict[str, float]:
    """`num_iterations` updates of next-token training; where there is nothing to learn from, none."""
    sums = {"loss": 0.0, "grad_norm": 0.0}
    for _ in range(settings.num_iterations if len(shown.ids) else 0):
        loss = learn(trained.model, shown, settings.parts)
        if not math.isfinite(loss):
            raise NotFinite(f"the loss is {loss} at step {step}")
        sums["loss"] += loss
        sums["grad_norm"] += _clipped(trained.model, settings.max_grad_norm, step)
        trained.optimizer.step()
        trained.optimizer.zero_grad(set_to_none=True)
    return {name: value / settings.num_iterations for name, value in sums.items()}


def _clipped(model: LanguageModel, most: float, step: int) -> float:
    """Clip the gradients; their norm before that."""
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), most))
    if not math.isfinite(norm):
        bad = (n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all())
        raise NotFinite(f"the gradient of {next(bad, 'a parameter')} is not finite at step {step}")
    return norm


def _sampling_metrics(batch: Batch, by_reward: Mapping[str, np.ndarray], G: int) -> dict[str, float]:
    made, completions = batch.made, batch.made.completions
    lengths, finished = completions.lengths.float(), completions.finished
    groups = batch.rewards.view(-1, G)
    of_finished = lengths[finished] if bool(finished.any()) else lengths.new_zeros(1)
    all_right, none_right = solved(made.right, G)
    metrics = {
        "num_tokens": float(lengths.sum()),
        "completions/mean_length": float(lengths.mean()),
        "completions/min_length": float(lengths.min()),
        "completions/max_length": float(lengths.max()),
        "completions/mean_terminated_length": float(of_finished.mean()),
        "completions/min_terminated_length": float(of_finished.min()),
        "completions/max_terminated_length": float(of_finished.max()),
        "completions/clipped_ratio": 1 - float(finished.float().mean()),
        "reward": float(groups.nanmean()),
        "reward_std": float(groups.double().std(1).nanmean()),
        "frac_reward_zero_std": float(zero_spread(batch.rewards, G).float().mean()),
        "entropy": float(completions.entropies.sum() / lengths.sum()),
        "right": float(made.right.mean()),
        "think_rate": float(made.thinks.mean()),
        "frac_solved_all": all_right,
        "frac_solved_none": none_right,
    }
    for name, values in by_reward.items():
        metrics[f"rewards/{name}/mean"] = float(np.nanmean(values))
        metrics[f"rewards/{name}/std"] = float(np.nanstd(values, ddof=1))
    for name, which in (("length_correct", made.right), ("length_incorrect", ~made.right)):
        if which.any():
            metrics[name] = float(made.lengths[which].mean())
    return metrics
