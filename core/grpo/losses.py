"""Policy losses of the GRPO family: what is done to a ratio, and what the sum over tokens is divided by.

With w = π/π_old at a token, or at a sequence, and A the completion's advantage:

    |         | at a token                               | the sum over tokens is divided by          | source                |
    |---------|------------------------------------------|--------------------------------------------|-----------------------|
    | grpo    | −min(w·A, clip(w, 1 − ε, 1 + ε_high)·A)  | each completion's length, then completions | 2402.03300, eq. 3     |
    | bnpo    | the same                                 | tokens of the batch                        | TRL                   |
    | dr_grpo | the same                                 | completions · max_completion_length        | 2503.20783, §3.2      |
    | dapo    | the same; ε_high > ε is "clip higher"    | tokens of the batch                        | 2503.14476, eq. 8     |
    | gspo    | the same, w = (π(y)/π_old(y))^(1/length) | as grpo                                    | 2507.18071, eq. 5, 7  |
    | cispo   | −min(w, bound) held constant · A · log π | tokens of the batch                        | 2506.13585, eq. 4     |

bnpo and dapo are one thing as long as a batch comes in one piece; TRL's bnpo takes the mean of the means of its
micro-batches, which depends on how a batch was cut, and ours does not.

Definitions follow TRL 1.16 (`GRPOTrainer._compute_loss`), with which tests/core/grpo/test_against_trl.py compares them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..lm.precision import wide
from ..suggest import did_you_mean
from .divergence import KINDS, weighted

LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo", "gspo", "cispo")
_BY_TOKENS = ("bnpo", "dapo", "cispo")


@dataclass(frozen=True)
class LossParts:
    """A loss, taken apart.

    Attributes:
        loss: scalar, what to call `backward` on: policy + divergence.
        policy: scalar, without the divergence. Constant.
        divergence: scalar, β times the estimate of KL(π‖π_ref), averaged as the loss is. Constant; 0 for β = 0.
        metrics: scalars under TRL's names, constant, means over the unmasked tokens of this batch: `kl` where there is
            a ref_logp, even for β = 0; `clip_ratio/low_mean`, `clip_ratio/high_mean` and `clip_ratio/region_mean`, the
            shares of tokens where the clip stops the gradient, for gspo as well (TRL counts its sequences); for cispo
            `cispo_clip_ratio` instead.
    """

    loss: Tensor
    policy: Tensor
    divergence: Tensor
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
    """The loss of one batch of completions, to be minimised.

    A batch may come in pieces: give each `num_items=count_items(mask of the whole batch, loss_type)`, and the sum of
    the pieces' losses (and gradients) is that of the whole. Completions whose advantage is 0 may then be left out when
    β is 0: for all but their masks in `count_items` they change nothing.

    At w = 1 the loss is about 0 for centred advantages and its gradient is not: the value of the loss tells nothing
    about progress.

    Args:
        logp: (completions, tokens), log π of the sampled tokens.
        old_logp: (completions, tokens), log π_old of the same tokens, constant to the gradient; may be logp itself.
        advantages: (completions,), constant to the gradient.
        mask: (completions, tokens), true or 1 where a token counts: EOS does, padding does not. What logp holds
            elsewhere does not matter.
        loss_type: one of `LOSS_TYPES`.
        epsilon: ε; w is clipped below at 1 − ε, and not at all from ε = 1 on. Without effect on cispo if epsilon_high
            is given.
        epsilon_high: w is clipped above at 1 + epsilon_high, epsilon unless given. For cispo the bound on w itself, as
            in TRL (5.0 in ScaleRL, arXiv:2510.13786), and 1 + epsilon unless given.
        beta: β, the weight of KL(π‖π_ref).
        ref_logp: (completions, tokens), log π_ref of the same tokens, constant to the gradient.
        max_completion_length: the length constant of dr_grpo.
        kl: the estimator in the loss, "k1", "k2" or "k3", importance-corrected as in `kl_in_loss`. For gspo the
            correction is the sequence's w, as TRL has it, and no longer exactly right.
        num_items: what the loss is divided by where the batch given is part of a larger one: completions for grpo, gspo
            and dr_grpo (which also divides by max_completion_length), unmasked tokens for bnpo, dapo and cispo. That of
            the batch given unless said otherwise.

    Returns:
        Scalar, in float32 unless logp is float64.

    Raises:
        ValueError: shapes that do not match, an unknown loss_type or kl, dr_grpo without max_completion_length, β > 0
            without ref_logp, or a negative epsilon, epsilon_high, beta or num_items.
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
    if loss_type == "dr_grpo" and (max_completion_length is None or max_completion_length < 1):
        raise ValueError(
            "dr_grpo divides by max_completion_length, the same for every batch; "
            f"it is {max_completion_length}: give a number of tokens"
        )

    seen = mask != 0
    # Padding may hold anything, and 0 · ∞ would be NaN, also in a gradient.
    logp = wide(logp).masked_fill(~seen, 0)
    old_logp = wide(old_logp.detach()).masked_fill(~seen, 0)
    A = advantages.detach().to(logp.dtype).unsqueeze(1)
    log_w = logp - old_logp
    if loss_type == "gspo":
        log_w = log_w.sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)

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
    metrics = {name: _mean(where, seen) for name, where in clipped.items()}

    items = _items(seen, loss_type).clamp(min=1) if num_items is None else max(num_items, 1)
    if loss_type == "dr_grpo":
        items = items * (max_completion_length or 1)
    policy = loss = _sum(L, seen, loss_type) / items
    divergence = torch.zeros_like(policy)
    if ref_logp is not None:
        ref_logp = wide(ref_logp).masked_fill(~seen, 0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and beta > 0):
            estimate = weighted(log_w, logp, ref_logp, kl)
            metrics["kl"] = _mean(estimate.detach(), seen)
            if beta > 0:
                divergence = beta * _sum(estimate, seen, loss_type) / items
                loss = policy + divergence
    return LossParts(loss, policy.detach(), divergence.detach(), metrics)


def count_items(mask: Tensor, loss_type: str) -> float:
    """num_items of a batch: completions, masked or not, for grpo, gspo and dr_grpo; unmasked tokens for the others.

    Args:
        mask: (completions, tokens), of the whole batch.
        loss_type: one of `LOSS_TYPES`.

    Raises:
        ValueError: an unknown loss_type.
    """
    _check_names(loss_type)
    return float(_items(mask != 0, loss_type))


def _items(seen: Tensor, loss_type: str) -> Tensor:
    return seen.sum() if loss_type in _BY_TOKENS else seen.new_tensor(len(seen), dtype=torch.int64)


def _sum(x: Tensor, seen: Tensor, loss_type: str) -> Tensor:
    """The sum over tokens, those of a completion being averaged first for grpo and gspo. x broadcasts along tokens."""
    x = torch.where(seen, x, 0)
    if loss_type in ("grpo", "gspo"):
        return (x.sum(1) / seen.sum(1).clamp(min=1)).sum()
    return x.sum()


def _mean(x: Tensor, of: Tensor) -> Tensor:
    x = x if x.is_floating_point() else x.float()
    return torch.where(of, x, 0).sum() / of.sum().clamp(min=1)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _check_names(loss_type: str, kl: str = "k3") -> None:
    if loss_type not in LOSS_TYPES:
        typed = str(loss_type).lower().replace("-", "_")
        hint = did_you_mean(typed, LOSS_TYPES)
        raise ValueError(f"no loss_type {loss_type!r}.{hint} There are: {', '.join(LOSS_TYPES)}")
    if kl not in KINDS:
        raise ValueError(f"unknown kind of KL estimate {kl!r}; known: {', '.join(KINDS)}")


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
