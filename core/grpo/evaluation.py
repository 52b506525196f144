"""How good a model is on problems that it was not trained on: many samples of each, and the likeliest answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from ..lm.gradients import autocast
from ..lm.language_model import LanguageModel
from ..lm.scoring import joined, log_probs
from .kl import per_token_kl
from .pass_at_k import majority, pass_at_k
from .rewards import format, letters_of
from .rollout import Rollout, answers, rollout
from .tasks import Task
from .tasks.problem import Problem

PARTS = 4
"""Samples are scored in so many parts of like length, which saves padding."""


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
    """Figures over all problems, and the samples themselves.

    Returns:
        `eval/pass@k` for k = 1, 2, 4, … and samples, `eval/doubling`, the least that a doubling of k adds to it,
        `eval/maj@k` with k = samples (R1's cons@k), `eval/acc_greedy`, `eval/format` (the share of well-formed thinking
        and answer), `eval/think_rate` and, of the likeliest answers, `eval/think_greedy`; `eval/entropy` of the next
        token, in nats; lengths in tokens: `eval/length`, `eval/length_correct`, `eval/length_incorrect` (left out where
        there are none of these). Where traces may be in two alphabets, those of `languages` as well. With a reference
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
    figures = coverage(right) | {
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
    if len(task.alphabets) > 1:
        figures |= languages(made.texts, task.alphabets)
    return figures, made


def _divergence(made: Rollout, task: Task, reference: LanguageModel, temperature: float) -> float:
    c = made.completions
    sequences = joined(made.prompts, c.ids, c.lengths, task.vocabulary.pad)
    total = 0.0
    with torch.no_grad(), autocast(c.ids.device):
        for part in sequences.by_length(PARTS):
            ref_logp, _ = log_probs(reference, sequences.rows(part), temperature)
            total += float(per_token_kl(c.log_probs[part, : ref_logp.shape[1]], ref_logp).sum())
    return total / int(c.lengths.sum())


def coverage(right: np.ndarray) -> dict[str, float]:
    """`eval/pass@k` for k = 1, 2, 4, … and all samples, and `eval/doubling`, the least that a doubling of k adds.

    Args:
        right: (problems, samples).
    """
    samples = right.shape[1]
    doubled = [2**i for i in range(samples.bit_length())]
    passed = {k: pass_at_k(right, k) for k in [*doubled, samples]}
    figures = {f"eval/pass@{k}": share for k, share in passed.items()}
    if steps := [passed[two] - passed[one] for one, two in pairwise(doubled)]:
        figures["eval/doubling"] = min(steps)
    return figures


def languages(texts: Sequence[str], alphabets: Sequence[str]) -> dict[str, float]:
    """Over all completions with digits inside `<think>` tags; nothing where there are none.

    Returns:
        `eval/language`: the share of a trace's digits that are of the first alphabet, the prompt's; what the reward
        `language` pays. `eval/mixed`: the share of traces with digits of more than one.
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
    """The share of groups in which all answers are right, and in which none is."""
    groups = right.reshape(-1, num_generations)
    return float(groups.all(1).mean()), float((~groups.any(1)).mean())
