"""Evaluate a model on problems that it was not trained on: many samples of each, and its greedy answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from ..lm.gradients import autocast
from ..lm.language_model import LanguageModel
from ..lm.scoring import joined, log_probs
from .accuracy_at_k import majority, pass_at_k
from .kl import per_token_kl
from .rewards import format, letters_of
from .rollout import Rollout, answers, rollout
from .tasks import Task
from .tasks.problem import Problem

PARTS = 4
"""Micro-batches of similar length for the log-probs of the reference, which saves padding."""


def evaluate(
    model: LanguageModel,
    task: Task,
    problems: Sequence[Problem],
    *,
    samples: int,
    max_completion_length: int,
    seed: int,
    temperature: float = 1.0,
    reference: LanguageModel | None = None,
) -> tuple[dict[str, float], Rollout]:
    """Metrics over all problems, and the samples themselves.

    Returns: `eval/pass@k` for k = 1, 2, 4, … and samples; `eval/doubling`, the least that a doubling of k adds to it;
    `eval/maj@k` with k = samples (R1's cons@k); `eval/acc_greedy`; `eval/format`, the share of well-formed thinking and
    answer; `eval/think_rate`, and `eval/think_greedy` of the greedy answers; `eval/entropy` of the next token, in nats;
    `eval/length`, `eval/length_correct` and `eval/length_incorrect`, in tokens, the last two left out where there are
    no such answers. If the task has two alphabets, the metrics of `languages`. With a reference `eval/kl`, the k3
    estimate of KL(π‖π_ref), in nats per token.
    """
    device = model.embedding.weight.device
    options = {"max_completion_length": max_completion_length}
    generator = torch.Generator(device).manual_seed(seed)
    sampled = rollout(
        model,
        task,
        problems,
        num_generations=samples,
        temperature=temperature,
        generator=generator,
        **options,
    )
    greedy = rollout(
        model, task, problems, num_generations=1, temperature=0.0, generator=generator, **options
    )
    right = sampled.right.reshape(len(problems), samples)
    lengths, thinks = sampled.lengths, sampled.thinks
    metrics = coverage(right) | {
        f"eval/maj@{samples}": majority(answers(sampled, samples), [problem.answer for problem in problems]),
        "eval/acc_greedy": float(greedy.right.mean()),
        "eval/format": float(np.mean(format(sampled.problems, sampled.texts))),
        "eval/think_rate": float(thinks.mean()),
        "eval/think_greedy": float(greedy.thinks.mean()),
        "eval/entropy": float(sampled.completions.entropies.sum()) / int(lengths.sum()),
        "eval/length": float(lengths.mean()),
    }
    if reference is not None:
        metrics["eval/kl"] = _mean_kl(sampled, task, reference, temperature)
    for name, which in (("correct", sampled.right), ("incorrect", ~sampled.right)):
        if which.any():
            metrics[f"eval/length_{name}"] = float(lengths[which].mean())
    if len(task.alphabets) > 1:
        metrics |= languages(sampled.texts, task.alphabets)
    return metrics, sampled


def _mean_kl(sampled: Rollout, task: Task, reference: LanguageModel, temperature: float) -> float:
    c = sampled.completions
    sequences = joined(sampled.prompts, c.ids, c.lengths, task.vocabulary.pad)
    total = 0.0
    with torch.no_grad(), autocast(c.ids.device):
        for part in sequences.by_length(PARTS):
            ref_logp, _ = log_probs(reference, sequences.rows(part), temperature)
            total += float(per_token_kl(c.log_probs[part, : ref_logp.shape[1]], ref_logp).sum())
    return total / int(c.lengths.sum())


def coverage(right: np.ndarray) -> dict[str, float]:
    """`eval/pass@k` of (problems, samples), k = 1, 2, 4, … and all; `eval/doubling`, the least gain of a doubling."""
    samples = right.shape[1]
    doubled = [2**i for i in range(samples.bit_length())]
    passed = {k: pass_at_k(right, k) for k in [*doubled, samples]}
    metrics = {f"eval/pass@{k}": share for k, share in passed.items()}
    if steps := [passed[two] - passed[one] for one, two in pairwise(doubled)]:
        metrics["eval/doubling"] = min(steps)
    return metrics


def languages(texts: Sequence[str], alphabets: Sequence[str]) -> dict[str, float]:
    """Use of two alphabets, over all completions with digits inside `<think>` tags; empty if there are none.

    Returns:
        `eval/language`: the share of a trace's digits from the first alphabet, the prompt's; the value of the reward
        `language`. `eval/mixed`: the share of traces with digits of more than one.
    """
    used = np.array([letters_of(text, alphabets) for text in texts])
    used = used[used.any(1)]
    if not len(used):
        return {}
    return {
        "eval/language": float((used[:, 0] / used.sum(1)).mean()),
        "eval/mixed": float(((used > 0).sum(1) > 1).mean()),
    }


def solved(right: np.ndarray, num_generations: int) -> tuple[float, float]:
    """The share of groups in which all answers are right, and the share in which none is."""
    groups = right.reshape(-1, num_generations)
    return float(groups.all(1).mean()), float((~groups.any(1)).mean())
