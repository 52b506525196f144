"""Policy losses of the GRPO family: how each clips the ratio, and what it divides the sum over tokens by.

With w = π/π_old at a token, or at a sequence, and A the completion's advantage:

    |         | at a token                               | the sum over tokens is divided by          | source                |
    |---------|------------------------------------------|--------------------------------------------|-----------------------|
    | grpo    | −min(w·A, clip(w, 1 − ε, 1 + ε_high)·A)  | each completion's length, then completions | 2402.03300, eq. 3     |
    | bnpo    | the same                                 | tokens of the batch                        | TRL                   |
    | dr_grpo | the same                                 | completions · max_completion_length        | 2503.20783, §3.2      |
    | dapo    | the same; ε_high > ε is "clip higher"    | tokens of the batch                        | 2503.14476, eq. 8     |
    | gspo    | the same, w = (π(y)/π_old(y))^(1/length) | as grpo                                    | 2507.18071, eq. 5, 7  |
    | cispo   | −min(w, bound) held constant · A · log π | tokens of the batch                        | 2506.13585, eq. 4     |

bnpo and dapo are equal on a whole batch. TRL's bnpo averages the means of its micro-batches, which depends on how the
batch is cut; ours does not.

Definitions follow TRL 1.16 (`GRPOTrainer._compute_loss`), with which tests/core/grpo/test_against_trl.py compares them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..lm.precision import wide
from ..suggest import did_you_mean
from .kl import KL_ESTIMATORS, weighted_kl

_DIVISORS: Mapping[str, Literal["lengths", "tokens", "longest"]] = {
    "grpo": "lengths",
    "bnpo": "tokens",
    "dr_grpo": "longest",
    "dapo": "tokens",
    "gspo": "lengths",
    "cispo": "tokens",
}
"""What the sum over tokens is divided by: each completion's length, the tokens of the batch, or max_completion_length."""
LOSS_TYPES = tuple(_DIVISORS)


@dataclass(frozen=True)
class LossParts:
    """A loss and its two terms.

    Attributes:
        loss: scalar, policy_loss + kl_loss, with a gradient.
        policy_loss: scalar, detached.
        kl_loss: scalar, detached: β times the estimate of KL(π‖π_ref), averaged as the loss is; 0 for β = 0.
        metrics: scalars under TRL's names, detached, means over the unmasked tokens of this batch: `kl` where there is
            a ref_logp, even for β = 0; `clip_ratio/low_mean`, `clip_ratio/high_mean` and `clip_ratio/region_mean`, the
            shares of tokens where the clip stops the gradient, for gspo as well (TRL counts its sequences); for cispo
            `cispo_clip_ratio` instead.
    """

    loss: Tensor
    policy_loss: Tensor
    kl_loss: Tensor
    metrics: dict[str, Tensor]


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    loss_type: str = "grpo",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.0,
    ref_logp: Tensor | None = None,
    max_completion_length: int | None = None,
    kl: str = "k3",
    num_items: float | None = None,
) -> Tensor:
    """The loss of one batch of completions; training minimises it.

    A batch may come in pieces: give each `num_items=count_items(mask of the whole batch, loss_type)`, and the sum of
    the pieces' losses (and gradients) is that of the whole. With β = 0, completions whose advantage is 0 may be left out
    of the pieces: they count only in `count_items`.

    The value of the loss says nothing about progress: at w = 1 and with centred advantages it is about 0, and its
    gradient is not.

    Args:
        logp: (completions, tokens), log π of the sampled tokens; TRL's `per_token_logps`.
        old_logp: (completions, tokens), log π_old, detached here; may be logp itself. TRL's `old_per_token_logps`.
        advantages: (completions,), detached here.
        mask: (completions, tokens), TRL's `completion_mask`: true or 1 for a token that counts, up to EOS; 0 for padding,
            where logp may hold anything.
        loss_type: one of `LOSS_TYPES`.
        epsilon: ε; w is clipped below at 1 − ε, and not at all from ε = 1 on. Without effect on cispo if epsilon_high
            is given.
        epsilon_high: w is clipped above at 1 + epsilon_high, epsilon unless given. For cispo the bound on w itself, as
            in TRL (5.0 in ScaleRL, arXiv:2510.13786), and 1 + epsilon unless given.
        beta: β, the weight of KL(π‖π_ref).
        ref_logp: (completions, tokens), log π_ref, detached here; TRL's `ref_per_token_logps`.
        max_completion_length: the length constant of dr_grpo.
        kl: the estimator in the loss, "k1", "k2" or "k3", importance-corrected as in `kl_in_loss`. For gspo the
            correction is the sequence's w, as in TRL, which is only approximate.
        num_items: the divisor, where this batch is part of a larger one: completions for grpo, gspo and dr_grpo (which
            also divides by max_completion_length), unmasked tokens for bnpo, dapo and cispo. By default it is counted in
            this batch.
    Returns: scalar, in float32 unless logp is float64.
    Raises ValueError: shapes that do not match, an unknown loss_type or kl, dr_grpo without
    max_completion_length, β > 0 without ref_logp, or a negative epsilon, epsilon_high, beta or num_items.
    """
    return loss_parts(
        logp,
        old_logp,
        advantages,
        mask,
        loss_type=loss_type,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        beta=beta,
        ref_logp=ref_logp,
        max_completion_length=max_completion_length,
        kl=kl,
        num_items=num_items,
    ).loss


def loss_parts(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    loss_type: str = "grpo",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.0,
    ref_logp: Tensor | None = None,
    max_completion_length: int | None = None,
    kl: str = "k3",
    num_items: float | None = None,
) -> LossParts:
    """`policy_loss` with its parts and its metrics. Arguments and errors are the same."""
    _check_names(loss_type, kl)
    _check_shapes(logp, advantages, {"old_logp": old_logp, "mask": mask, "ref_logp": ref_logp})
    _check_numbers(epsilon=epsilon, epsilon_high=epsilon_high, beta=beta, num_items=num_items)
    if beta > 0 and ref_logp is None:
        raise ValueError(f"beta is {beta:g}, but there is no ref_logp to measure the divergence from")
    divisor = _DIVISORS[loss_type]
    if divisor == "longest" and (max_completion_length is None or max_completion_length < 1):
        raise ValueError(
            f"{loss_type} divides by max_completion_length, the same for every batch; "
            f"it is {max_completion_length}: give a number of tokens"
        )

    mask = mask != 0
    # Padding may hold anything, and 0 · ∞ would be NaN, also in a gradient.
    logp = wide(logp).masked_fill(~mask, 0)
    old_logp = wide(old_logp.detach()).masked_fill(~mask, 0)
    A = advantages.detach().to(logp.dtype).unsqueeze(1)
    log_w = logp - old_logp
    if loss_type == "gspo":
        log_w = log_w.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)

    if loss_type == "cispo":
        bound = math.log1p(epsilon) if epsilon_high is None else _log(epsilon_high)
        L = -log_w.detach().clamp(max=bound).exp() * A * logp
        clipped = {"cispo_clip_ratio": (log_w > bound) & (A > 0)}
    else:
        low, high = _log(1 - epsilon), math.log1p(epsilon if epsilon_high is None else epsilon_high)
        # min(w·A, clip(w)·A) needs but one end of the clip, by the sign of A. Taken in log w, it is the same number,
        # and where w would overflow there is no ∞ whose gradient is 0 · ∞.
        L = -torch.where(A >= 0, log_w.clamp(max=high), log_w.clamp(min=low)).exp() * A
        below, above = (log_w < low) & (A < 0), (log_w > high) & (A > 0)
        clipped = {
            "clip_ratio/low_mean": below,
            "clip_ratio/high_mean": above,
            "clip_ratio/region_mean": below | above,
        }
    metrics = {name: _mean(stopped, mask) for name, stopped in clipped.items()}

    items = _items(mask, loss_type).clamp(min=1) if num_items is None else max(num_items, 1)
    if divisor == "longest":
        items = items * (max_completion_length or 1)
    policy_term = loss = _sum(L, mask, loss_type) / items
    kl_term = torch.zeros_like(loss)
    if ref_logp is not None:
        ref_logp = wide(ref_logp).masked_fill(~mask, 0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and beta > 0):
            per_token_kl = weighted_kl(log_w, logp, ref_logp, kl)
            metrics["kl"] = _mean(per_token_kl.detach(), mask)
            if beta > 0:
                kl_term = beta * _sum(per_token_kl, mask, loss_type) / items
                loss = policy_term + kl_term
    return LossParts(loss, policy_term.detach(), kl_term.detach(), metrics)


def count_items(mask: Tensor, loss_type: str) -> float:
    """num_items of a batch: completions, masked or not, for grpo, gspo and dr_grpo; unmasked tokens for the others.

    mask: (completions, tokens), of the whole batch.

    Raises ValueError: an unknown loss_type.
    """
    _check_names(loss_type)
    return float(_items(mask != 0, loss_type))


def _items(mask: Tensor, loss_type: str) -> Tensor:
    return mask.sum() if _DIVISORS[loss_type] == "tokens" else mask.new_tensor(len(mask), dtype=torch.int64)


def _sum(x: Tensor, mask: Tensor, loss_type: str) -> Tensor:
    """The sum over tokens; those of a completion are averaged first where its length divides. x broadcasts along tokens."""
    x = torch.where(mask, x, 0)
    if _DIVISORS[loss_type] == "lengths":
        return (x.sum(1) / mask.sum(1).clamp(min=1)).sum()
    return x.sum()


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    x = x if x.is_floating_point() else x.float()
    return torch.where(mask, x, 0).sum() / mask.sum().clamp(min=1)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _check_names(loss_type: str, kl: str = "k3") -> None:
    if loss_type not in LOSS_TYPES:
        typed = str(loss_type).lower().replace("-", "_")
        hint = did_you_mean(typed, LOSS_TYPES)
        raise ValueError(f"no loss_type {loss_type!r}.{hint} There are: {', '.join(LOSS_TYPES)}")
    if kl not in KL_ESTIMATORS:
        raise ValueError(f"unknown kind of KL estimate {kl!r}; known: {', '.join(KL_ESTIMATORS)}")


def _check_shapes(logp: Tensor, advantages: Tensor, others: dict[str, Tensor | None]) -> None:
    shape = tuple(logp.shape)
    if len(shape) != 2:
        raise ValueError(f"logp has shape {shape}; (completions, tokens) is needed")
    for name, other in others.items():
        if other is not None and tuple(other.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, but logp {shape}")
    if tuple(advantages.shape) != shape[:1]:
        raise ValueError(
            f"advantages have shape {tuple(advantages.shape)}, but logp {shape}: one advantage for each completion"
        )


def _check_numbers(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not number >= 0:
            raise ValueError(f"{name} is {number}; it must be 0 or more")
