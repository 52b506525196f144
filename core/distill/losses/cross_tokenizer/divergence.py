"""Divergences between distributions given as log-probs, in which −∞ is allowed, and cross-entropy with soft targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..response import forward_kl
from .units import masked_teacher


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p‖q) = Σ p·(log p − log q) over the last axis; entries with p = 0 count as 0."""
    alive = log_p > -math.inf
    log_p = log_p.masked_fill(~alive, 0)
    return torch.where(alive, log_p.exp() * (log_p - log_q.masked_fill(~alive, 0)), 0).sum(-1)


def scaled(logp: Tensor) -> Tensor:
    """Log-probs that sum to 1 over the last axis; −∞ everywhere, not NaN, where all are −∞."""
    total = logp.logsumexp(-1, keepdim=True)
    return logp - total.masked_fill(total == -math.inf, 0)


def jsd(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """β·KL(p‖m) + (1 − β)·KL(q‖m) with m = β·p + (1 − β)·q: eq. 1 of GKD (arXiv:2306.13649).

    It goes to 0 at both ends; at β = 0 it is KL(p‖q) instead and at β = 1 KL(q‖p), as in TRL.

    Raises ValueError: β outside of [0, 1].
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta is {beta}; it must lie in [0, 1]")
    if beta in (0, 1):
        return kl(log_p, log_q) if beta == 0 else kl(log_q, log_p)
    nowhere = (log_p == -math.inf) & (log_q == -math.inf)  # logaddexp has a gradient of NaN there
    m = torch.logaddexp(
        log_p.masked_fill(nowhere, 0) + math.log(beta), log_q.masked_fill(nowhere, 0) + math.log1p(-beta)
    )
    return beta * kl(log_p, m) + (1 - beta) * kl(log_q, m)


def soft_targets(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    num_items: float | None = None,
) -> Tensor:
    """`forward_kl` with targets that a unit may lack; mean over unmasked units.

    Targets may hold −∞, as those of `to_student` and of the marginals do; a unit of nothing but −∞ counts as 0.

    Args:
        student_logits: (batch, units, V).
        teacher_logits: (batch, units, V), logits or log-probs in the student's vocabulary.
        mask, temperature, num_items: as in `forward_kl`, of units.
    Raises ValueError: shapes that do not match, T ≤ 0, or NaN in the teacher.
    """
    targets = masked_teacher(teacher_logits, mask)
    has_target = (targets > -math.inf).any(-1)
    if mask is not None:
        has_target &= mask.bool()
    if num_items is None:
        num_items = has_target.numel() if mask is None else int(mask.bool().sum())
    return forward_kl(student_logits, targets, has_target, temperature, num_items=num_items)
