"""One update of a student on given sequences, and its KL to a teacher there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...lm.gradients import add_gradients, autocast, clip
from ...lm.language_model import LanguageModel
from ...lm.not_finite import NotFinite
from ...lm.parallel import each
from ...lm.scoring import Sequences, completion_logits
from ..losses import reverse_kl
from .losses import Loss, loss_of


def distill_step(
    student: LanguageModel,
    teacher: LanguageModel | None,
    sequences: Sequences,
    optimizer: torch.optim.Optimizer,
    *,
    loss: Loss = "reverse_kl",
    temperature: float = 1.0,
    parts: int = 4,
    max_grad_norm: float = 1.0,
    step: int = 1,
) -> dict[str, float]:
    """Update a student once on the completions of sequences, each token of which weighs the same.

    On-policy, as GKD with λ = 1 (Agarwal et al., arXiv:2306.13649), the student has just sampled them at this temperature.
    No gradient goes through the sampling, nor through the teacher.

    Args:
        teacher: of the same tokens (`check_same_tokens`). None, for "nll" alone, saves its cost.
        loss: "reverse_kl" KL(q‖p), "forward_kl" KL(p‖q) or "jsd" over the vocabulary; "token", the sampled token alone
            (`sampled_token`), for the student's own samples only; "nll", next-token training.
        temperature: T of both distributions; the losses have the factor T² of `lab.core.distill.losses`. "nll" has none.
        parts: of like length, computed one after another or on several cores; the gradient is that of the whole.
        step: for messages.
    Returns: `loss`, a mean over tokens; `grad_norm` before clipping; `tokens`; with a teacher `kl`, the mean of
    KL(q_T‖p_T) over these tokens before the update, in nats.
    Raises:
        ValueError: no token to learn from, an unknown loss, or vocabularies of different size.
        NotFinite: the loss or a gradient is infinite or NaN; the message names the step.
    """
    tokens, device = _tokens_of(sequences), student.embedding.weight.device

    def of_part(part: Tensor) -> tuple[Tensor, tuple[float, float]]:
        some = sequences.rows(part).on(device)
        logits, y = completion_logits(student, some)
        known = None if teacher is None else _without_gradient(teacher, some)
        found = loss_of(loss, logits, known, y, temperature, tokens)
        kl = math.nan if known is None else _kl(logits.detach(), known, temperature, tokens)
        return found, (float(found.detach()), kl)

    losses = add_gradients(student, list(sequences.by_length(parts)), of_part)
    total, kl = (sum(column) for column in zip(*losses, strict=True))
    if not math.isfinite(total):
        raise NotFinite(f"the loss is {total} at step {step}")
    metrics = {"loss": total, "grad_norm": clip(student, max_grad_norm, step), "tokens": float(tokens)}
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return metrics if teacher is None else metrics | {"kl": kl}


def kl_to_teacher(
    student: LanguageModel,
    teacher: LanguageModel,
    sequences: Sequences,
    *,
    temperature: float = 1.0,
    parts: int = 4,
) -> float:
    """The mean of KL(q_T‖p_T) over the tokens of completions, in nats: student q against teacher p, exact at each token.

    Raises ValueError: there is no token, or the vocabularies differ in size.
    """
    tokens, device = _tokens_of(sequences), student.embedding.weight.device

    def of_part(part: Tensor) -> float:
        some = sequences.rows(part).on(device)
        with autocast(device):
            logits, known = (_without_gradient(model, some) for model in (student, teacher))
        return _kl(logits, known, temperature, tokens)

    return sum(each(of_part, list(sequences.by_length(parts)), device))


def _tokens_of(sequences: Sequences) -> int:
    tokens = int(sequences.lengths.sum())
    if not tokens:
        raise ValueError("there are no tokens to learn from: all completions are empty, or there are none")
    return tokens


@torch.no_grad()
def _without_gradient(model: LanguageModel, sequences: Sequences) -> Tensor:
    logits, _ = completion_logits(model, sequences)
    return logits


@torch.no_grad()
def _kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float, tokens: int) -> float:
    """Of these tokens, as a share of the mean over so many."""
    found = reverse_kl(student_logits, teacher_logits, temperature=temperature, num_items=tokens)
    return float(found) / temperature**2
