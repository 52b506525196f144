"""One step of GRPO: sample groups, score them, compare within each group, update.

Shao et al., "DeepSeekMath" (arXiv:2402.03300), Algorithm 1. Everything random in a step is drawn from the seed and the
number of the step, so that a run which goes on from a checkpoint draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..lm.gradients import add_gradients, clip
from ..lm.language_model import LanguageModel
from ..lm.not_finite import NotFinite
from ..lm.scoring import Sequences, joined, log_probs
from ..lm.training import adamw, examples, learn
from .advantages import group_advantages, zero_spread
from .config import GRPOConfig
from .evaluation import solved
from .losses import LossParts, count_items, loss_parts
from .rewards import StepRewards
from .rollout import Rollout, concatenate, rollout, rows_of_groups, select_groups
from .tasks import Task


@dataclass
class Policy:
    """A model in training, its optimizer, and the reference model of the KL term, if any."""

    model: LanguageModel
    optimizer: torch.optim.Optimizer
    reference: LanguageModel | None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
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


def make_policy(model: LanguageModel, config: GRPOConfig) -> Policy:
    """A policy that starts from a model, with a new optimizer; if `beta` is above 0, its reference is a copy."""
    reference = copy.deepcopy(model) if config.beta > 0 else None
    return Policy(model, adamw(model.parameters(), config.learning_rate), reference)


@dataclass(frozen=True)
class Batch:
    """The completions that a step learns from.

    Attributes:
        sequences: prompts and completions, padded.
        rewards: (completions,), the weighted sum.
        advantages: (completions,); for rft 1 for a completion that is learnt and 0 for the others.
        completion_mask: (completions, tokens), true for tokens that count in the loss.
    """

    rollout: Rollout
    sequences: Sequences
    rewards: Tensor
    advantages: Tensor
    completion_mask: Tensor


@dataclass(frozen=True)
class StepResult:
    """Metrics of a step, under TRL's names and ours, and its batch; None for sft, which samples none."""

    metrics: dict[str, float]
    batch: Batch | None


def train_step(
    policy: Policy, task: Task, rewards: StepRewards, config: GRPOConfig, *, seed: int, step: int
) -> StepResult:
    """Sample, score and update once; `step` counts from 1.

    Raises:
        RewardError: a reward raised, or returned a value that is not a finite number.
        NotFinite: the loss or a gradient is infinite or NaN; the message names the step and the tensor.
    """
    began = time.perf_counter()
    random = np.random.default_rng([seed, step])
    batch, sequences = None, None
    if config.algorithm == "sft":
        sequences, metrics = _draw_demonstrations(task, config, random)
    else:
        try:
            batch, metrics = _sample_batch(policy.model, task, rewards, config, random)
        except NotFinite as error:
            raise NotFinite(f"{error} at step {step}") from error
        if config.algorithm == "rft":
            sequences = batch.sequences.rows(batch.advantages.nonzero().squeeze(1))
    sampling_ended = time.perf_counter()
    if sequences is not None:
        metrics |= _supervised_update(policy, sequences, config, step)
    elif batch is not None:
        metrics |= _update(policy, batch, config, step)
    if (
        config.ref_model_sync_steps
        and step % config.ref_model_sync_steps == 0
        and policy.reference is not None
    ):
        policy.reference.load_state_dict(policy.model.state_dict())
    ended = time.perf_counter()
    metrics |= {
        "learning_rate": config.learning_rate,
        "step_time": ended - began,
        "time/generate": sampling_ended - began,
        "time/update": ended - sampling_ended,
    }
    return StepResult(metrics, batch)


def _sample_batch(
    model: LanguageModel, task: Task, rewards: StepRewards, config: GRPOConfig, random: np.random.Generator
) -> tuple[Batch, dict[str, float]]:
    """Sample groups of completions, score them, and compute their advantages.

    Dynamic sampling replaces groups whose rewards are all equal by groups of other problems.
    """
    G, device = config.num_generations, model.embedding.weight.device
    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    score = rewards(random)
    kept: list[Rollout] = []
    earned: list[dict[str, np.ndarray]] = []  # by reward; "" is their weighted sum
    missing = config.num_prompts
    for rounds_left in range(config.dynamic_sampling - 1, -1, -1):
        sampled = rollout(
            model,
            task,
            task.problems(random, missing, "train"),
            num_generations=G,
            max_completion_length=config.max_completion_length,
            temperature=config.temperature,
            generator=generator,
        )
        scores = score(sampled.problems, sampled.texts)
        columns = {name: np.array(values) for name, values in {**scores.values, "": scores.total}.items()}
        groups = np.arange(missing)
        if rounds_left:
            groups = groups[
                ~zero_spread(torch.tensor(scores.total, dtype=torch.float32, device="cpu"), G).numpy()
            ]
        rows = rows_of_groups(groups, G)
        kept.append(select_groups(sampled, groups, G))
        earned.append({name: values[rows] for name, values in columns.items()})
        missing -= len(groups)
        if missing == 0:
            break
    sampled = concatenate(kept, task.vocabulary.pad)
    by_reward = {name: np.concatenate([each[name] for each in earned]) for name in earned[0]}
    total = torch.tensor(by_reward.pop(""), dtype=torch.float32, device=device)
    completions = sampled.completions
    mask = completions.mask
    if config.mask_truncated_completions:
        mask = mask & completions.finished[:, None]
    sequences = joined(sampled.prompts, completions.ids, completions.lengths, task.vocabulary.pad)
    if config.algorithm == "rft":
        advantages = (total >= score.max_total - 1e-6).float()
    else:
        advantages = group_advantages(total, G, config.scale_rewards)
    batch = Batch(sampled, sequences, total, advantages, mask)
    return batch, _sampling_metrics(batch, by_reward, G)


def _draw_demonstrations(
    task: Task, config: GRPOConfig, random: np.random.Generator
) -> tuple[Sequences, dict[str, float]]:
    """Draw the demonstrations of one step of sft."""
    count, encode = config.num_prompts * config.num_generations, task.vocabulary.encode
    pairs: list[tuple[list[int], list[int]]] = []
    tokens = 0
    while not pairs or tokens < (config.sft_tokens or 0):
        for problem, text in task.demonstrations(random, count, config.mixture):
            pairs.append((encode(problem.prompt), encode(text)))
            tokens += len(pairs[-1][1])
            if config.sft_tokens and tokens >= config.sft_tokens:
                break
    return examples(pairs, task.vocabulary.pad), {
        "num_tokens": float(tokens),
        "completions/mean_length": tokens / len(pairs),
    }


@dataclass
class _MicroBatch:
    """Completions of similar length, computed together. The first update sets old_logp and ref_logp for the others.

    Attributes:
        sampling_logp: log-probs that the sampler computed.
        share: the share of the batch's unmasked tokens.
        old_logp: log-probs before the first update.
        ref_logp: log-probs of the reference.
    """

    sequences: Sequences
    advantages: Tensor
    completion_mask: Tensor
    sampling_logp: Tensor
    share: float
    old_logp: Tensor | None = None
    ref_logp: Tensor | None = None

    @property
    def sampling_logp_difference(self) -> float:
        """The largest absolute difference between a log-prob of the sampler and of the update."""
        assert self.old_logp is not None
        return float(((self.old_logp - self.sampling_logp) * self.completion_mask).abs().max())


def _update(policy: Policy, batch: Batch, config: GRPOConfig, step: int) -> dict[str, float]:
    """`num_iterations` updates on one batch, each computed in micro-batches of similar length."""
    model, parts = policy.model, _micro_batches(batch, config)
    items = count_items(batch.completion_mask, config.loss_type)

    def loss_of(part: _MicroBatch) -> tuple[Tensor, LossParts]:
        logp, _ = log_probs(model, part.sequences, config.temperature)
        if part.old_logp is None:
            # The ratio must begin at exactly 1. In bfloat16 the log-probs of the sampler differ by more than rounding.
            part.old_logp = logp.detach()
            if policy.reference is not None:
                with torch.no_grad():
                    part.ref_logp, _ = log_probs(policy.reference, part.sequences, config.temperature)
        found = loss_parts(
            logp,
            part.old_logp,
            part.advantages,
            part.completion_mask,
            loss_type=config.loss_type,
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            beta=config.beta,
            ref_logp=part.ref_logp,
            max_completion_length=config.max_completion_length,
            kl=config.kl,
            num_items=items,
        )
        return found.loss, replace(found, loss=found.loss.detach())  # kept without its graph

    sums: dict[str, float] = dict.fromkeys(("loss", "policy_loss", "grad_norm"), 0.0)
    for _ in range(config.num_iterations):
        for part, found in zip(parts, add_gradients(model, parts, loss_of), strict=True):
            sums["loss"] += float(found.loss.detach())
            sums["policy_loss"] += float(found.policy_loss)
            for name, value in found.metrics.items():
                sums[name] = sums.get(name, 0.0) + part.share * float(value)
        if not math.isfinite(sums["loss"]):
            raise NotFinite(f"the loss is {sums['loss']} at step {step}")
        sums["grad_norm"] += clip(model, config.max_grad_norm, step)
        policy.optimizer.step()
        policy.optimizer.zero_grad(set_to_none=True)
    means = {name: value / config.num_iterations for name, value in sums.items()}
    if parts:
        means["sampling/sampling_logp_difference/max"] = max(part.sampling_logp_difference for part in parts)
    return means


def _micro_batches(batch: Batch, config: GRPOConfig) -> list[_MicroBatch]:
    """Split the completions that count into micro-batches of about equal work."""
    counts = batch.completion_mask.any(1)
    if config.drop_zero_spread and config.beta == 0:
        counts &= batch.advantages != 0
    kept, tokens = counts.nonzero().squeeze(1), max(float(batch.completion_mask.sum()), 1.0)
    micro_batches = []
    for part in batch.sequences.rows(kept).by_length(config.parts):
        rows = kept[part]
        some = batch.sequences.rows(rows)
        width = int(some.lengths.max())
        mask = batch.completion_mask[rows, :width]
        sampling_logp = batch.rollout.completions.log_probs[rows, :width]
        micro_batches.append(
            _MicroBatch(some, batch.advantages[rows], mask, sampling_logp, float(mask.sum()) / tokens)
        )
    return micro_batches


def _supervised_update(
    policy: Policy, sequences: Sequences, config: GRPOConfig, step: int
) -> dict[str, float]:
    """`num_iterations` updates of next-token training on whole sequences; none where there are no sequences."""
    sums = {"loss": 0.0, "grad_norm": 0.0}
    for _ in range(config.num_iterations if len(sequences.ids) else 0):
        loss = learn(policy.model, sequences, config.parts)
        if not math.isfinite(loss):
            raise NotFinite(f"the loss is {loss} at step {step}")
        sums["loss"] += loss
        sums["grad_norm"] += clip(policy.model, config.max_grad_norm, step)
        policy.optimizer.step()
        policy.optimizer.zero_grad(set_to_none=True)
    return {name: value / config.num_iterations for name, value in sums.items()}


def _sampling_metrics(batch: Batch, by_reward: Mapping[str, np.ndarray], G: int) -> dict[str, float]:
    sampled, completions = batch.rollout, batch.rollout.completions
    lengths, finished = completions.lengths.float(), completions.finished
    groups = batch.rewards.view(-1, G)
    of_finished = lengths[finished] if bool(finished.any()) else lengths.new_zeros(1)
    all_right, none_right = solved(sampled.right, G)
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
        "right": float(sampled.right.mean()),
        "think_rate": float(sampled.thinks.mean()),
        "frac_solved_all": all_right,
        "frac_solved_none": none_right,
    }
    for name, values in by_reward.items():
        metrics[f"rewards/{name}/mean"] = float(np.nanmean(values))
        metrics[f"rewards/{name}/std"] = float(np.nanstd(values, ddof=1))
    for name, which in (("length_correct", sampled.right), ("length_incorrect", ~sampled.right)):
        if which.any():
            metrics[name] = float(sampled.lengths[which].mean())
    return metrics
