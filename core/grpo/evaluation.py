"""How good a model is on problems that it was not trained on: many samples of each, and the likeliest answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..lm.model import Transformer
from ..lm.scoring import joined, log_probs
from ..lm.training import autocast
from .divergence import kl_estimate
from .rewards import format
from .rollout import Rollout, answers, rollout
from .scores import majority, pass_at_k
from .tasks import Task
from .tasks.problem import Problem

PARTS = 4
"""Samples are scored in so many parts of like length, which saves padding."""


def evaluate(
    model: Transformer,
    task: Task,
    problems: Sequence[Problem],
    *,
    samples: int,
    max_completion_length: int,
    seed: int,
    temperature: float = 1.0,
    reference: Transformer | None = None,
) -> tuple[dict[str, float], Rollout]:
    """Figures over all problems, and the samples themselves.

    Returns:
        `eval/pass@1`, `eval/pass@k` and `eval/maj@k` with k = samples (R1's cons@k), `eval/acc_greedy`,
        `eval/format` (the share of well-formed thinking and answer), `eval/think_rate` and, of the likeliest answers,
        `eval/think_greedy`; `eval/entropy` of the next token, in nats; lengths in tokens: `eval/length`,
        `eval/length_correct`, `eval/length_incorrect` (left out where there are none of these). With a reference
        `eval/kl`, Schulman's k3 estimate of KL(π‖π_ref), in nats a token.
    """
    device = model.embedding.weight.device
    options = {"max_completion_length": max_completion_length}
    generator = torch.Generator(device).manual_seed(seed)
    made = rollout(
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
    right = made.right.reshape(len(problems), samples)
    lengths, thinks = made.lengths, made.thinks
    figures = {
        "eval/pass@1": float(right.mean()),
        f"eval/pass@{samples}": pass_at_k(right, samples),
        f"eval/maj@{samples}": majority(answers(made, samples), [problem.answer for problem in problems]),
        "eval/acc_greedy": float(greedy.right.mean()),
        "eval/format": float(np.mean(format(made.problems, made.texts))),
        "eval/think_rate": float(thinks.mean()),
        "eval/think_greedy": float(greedy.thinks.mean()),
        "eval/entropy": float(made.completions.entropies.sum()) / int(lengths.sum()),
        "eval/length": float(lengths.mean()),
    }
    if reference is not None:
        figures["eval/kl"] = _divergence(made, task, reference, temperature)
    for name, which in (("correct", made.right), ("incorrect", ~made.right)):
        if which.any():
            figures[f"eval/length_{name}"] = float(lengths[which].mean())
    return figures, made


def _divergence(made: Rollout, task: Task, reference: Transformer, temperature: float) -> float:
    c = made.completions
    sequences = joined(made.prompts, c.ids, c.lengths, task.vocabulary.pad)
    total = 0.0
    with torch.no_grad(), autocast(c.ids.device):
        for part in sequences.by_length(PARTS):
            ref_logp, _ = log_probs(reference, sequences.rows(part), temperature)
            total += float(kl_estimate(c.log_probs[part, : ref_logp.shape[1]], ref_logp).sum())
    return total / int(c.lengths.sum())


def solved(right: np.ndarray, num_generations: int) -> tuple[float, float]:
    """The share of groups in which all answers are right, and in which none is."""
    groups = right.reshape(-1, num_generations)
    return float(groups.all(1).mean()), float((~groups.any(1)).mean())
