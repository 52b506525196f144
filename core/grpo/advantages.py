"""Group-relative advantages: the reward of a completion, compared with those of the other completions of its prompt.

Shao et al., "DeepSeekMath" (arXiv:2402.03300), §4.1.2, which divides by the group's standard deviation; Liu et al.,
"Understanding R1-Zero-Like Training" (Dr. GRPO, arXiv:2503.20783), §3.2, which does not.

A reward of NaN means no score. It is left out of means and standard deviations, and its advantage is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = ("group", "batch", "none")
DELTA = 1e-4
"""Added to a standard deviation before it divides, as TRL does; the papers add nothing."""


def group_advantages(rewards: Tensor, num_generations: int, scale_rewards: str = "group") -> Tensor:
    """A_i = r_i − mean(r), divided by a standard deviation or not.

    A group whose rewards are all equal gets exactly 0. This is decided by comparing the rewards themselves: the mean of
    three 0.1 is not 0.1 in floating point, and the rounding error divided by `DELTA` would be a signal.

    Args:
        rewards: (completions,), one group of num_generations after the other; NaN for no score.
        num_generations: G, the completions of one prompt, at least 2.
        scale_rewards: "group" divides by the group's standard deviation + 1e-4 (DeepSeekMath §4.1.2); "batch" by that
            of all rewards + 1e-4 (TRL; the mean is still the group's); "none" does not divide (Dr. GRPO §3.2). Standard
            deviations are unbiased: the sum of squares over one less than the number of scores.
    Returns: (completions,), in float32 unless the rewards are float64.
    Raises ValueError: num_generations below 2, rewards that are not one-dimensional, not whole groups or
    infinite, or an unknown scale_rewards.
    """
    if scale_rewards not in SCALES:
        raise ValueError(f"unknown scale_rewards {scale_rewards!r}; known: {', '.join(SCALES)}")
    r, scored = _groups(rewards, num_generations)
    equal = _equal(r, scored).unsqueeze(1)
    # In float32 squares of rewards from 1e19 on overflow. Division by a power of two rounds nothing.
    unit = _unit(r, each_group=scale_rewards != "batch")
    r = r / unit
    n = scored.sum(1, keepdim=True)
    mean = r.sum(1, keepdim=True) / n.clamp(min=1)
    A = (r - mean).masked_fill(~scored, 0)
    if scale_rewards == "group":
        A = A / (_root(A.square().sum(1, keepdim=True), n) + DELTA / unit)
    elif scale_rewards == "batch":
        n = scored.sum()
        around = (r - r.sum() / n.clamp(min=1)).masked_fill(~scored, 0)
        A = A / (_root(around.square().sum(), n) + DELTA / unit)
    else:
        A = A * unit
    return A.masked_fill(equal, 0).flatten()


def zero_spread(rewards: Tensor, num_generations: int) -> Tensor:
    """Which groups have no signal, because all their rewards are equal (TRL's `frac_reward_zero_std` is their share).

    Groups with fewer than two scores are among them.

    Arguments as in `group_advantages`.
    Returns: (groups,), boolean. Raises ValueError: as `group_advantages`.
    """
    return _equal(*_groups(rewards, num_generations))


def _groups(rewards: Tensor, num_generations: int) -> tuple[Tensor, Tensor]:
    """(groups, G): the rewards, with 0 for no score; and whether there is a score."""
    if num_generations < 2:
        raise ValueError(
            f"num_generations is {num_generations}: a group of one has nothing to be compared with; take 2 or more"
        )
    if rewards.dim() != 1:
        raise ValueError(
            f"rewards have shape {tuple(rewards.shape)}; one number for each completion is needed"
        )
    if len(rewards) % num_generations:
        raise ValueError(f"{len(rewards)} rewards are no whole number of groups of {num_generations}")
    if rewards.dtype != torch.float64:
        rewards = rewards.float()
    if rewards.isinf().any():
        at = int(rewards.isinf().nonzero()[0])
        raise ValueError(
            f"the reward of completion {at} is {float(rewards[at])}; rewards are finite, or NaN for none"
        )
    r = rewards.view(-1, num_generations)
    scored = ~r.isnan()
    return r.masked_fill(~scored, 0), scored


def _equal(r: Tensor, scored: Tensor) -> Tensor:
    """(groups,): whether all scores are equal."""
    lowest = r.masked_fill(~scored, torch.inf).amin(1)
    return lowest >= r.masked_fill(~scored, -torch.inf).amax(1)


def _unit(r: Tensor, each_group: bool) -> Tensor:
    """The largest power of two up to the largest |reward|: (groups, 1), or a scalar over all groups; 1 if all are 0."""
    largest = r.abs().amax(1, keepdim=True)
    if not each_group and len(r):
        largest = largest.max()
    power = largest / (2 * torch.frexp(largest).mantissa)
    return torch.where(largest > 0, power, 1)


def _root(squares: Tensor, n: Tensor) -> Tensor:
    return (squares / (n - 1).clamp(min=1)).sqrt()
