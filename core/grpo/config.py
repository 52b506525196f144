"""The configuration of the trainer, under the names of TRL's GRPOConfig, and published presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..suggest import did_you_mean
from .tasks import Mixture

ALGORITHMS = ("grpo", "rft", "sft")


@dataclass(frozen=True)
class GRPOConfig:
    """How a policy is trained.

    Attributes:
        algorithm: "grpo", or a control, next-token training with the same optimizer: "rft" on the model's own completions
            of maximal reward (online rejection sampling fine-tuning; DeepSeekMath §4.1.2), "sft" on new demonstrations.
        sft_tokens: the least number of tokens of the demonstrations of a step of sft; None: as many demonstrations as the
            other algorithms sample completions.
        mixture: of these demonstrations.
        steps: each is one rollout and `num_iterations` updates (μ).
        num_prompts: problems per step.
        num_generations: G, completions per problem.
        max_completion_length: in tokens; longer completions are truncated.
        scale_rewards: the standard deviation that divides advantages: "group", "batch", "none".
        loss_type: one of `losses.LOSS_TYPES`.
        epsilon, epsilon_high: clipping below and above; `epsilon` for both if `epsilon_high` is None.
        beta: weight of KL(π‖π_ref), where the reference is the model before training.
        kl: its estimator, "k1", "k2" or "k3", importance-corrected, so that its gradient is that of the KL (that of
            DeepSeekMath's k3 is not).
        ref_model_sync_steps: the interval, in steps, at which the reference becomes a copy of the policy; None: never.
        mask_truncated_completions: whether truncated completions are masked in the loss.
        drop_zero_spread: whether groups whose rewards are all equal are left out of the computation. Their advantages are
            0, so that with beta 0 the gradient is the same; a batch of such groups alone changes nothing.
        dynamic_sampling: the most rounds of sampling in which such groups are replaced by new ones (DAPO,
            arXiv:2503.14476, §3.2); 1 replaces none. A step's metrics are those of the groups that it keeps.
        parts: the number of micro-batches of an update; completions of similar length share one, which saves padding.
    """

    algorithm: str = "grpo"
    sft_tokens: int | None = None
    mixture: Mixture = field(default_factory=Mixture)
    steps: int = 40
    num_prompts: int = 32
    num_generations: int = 8
    max_completion_length: int = 40
    temperature: float = 1.0
    learning_rate: float = 3e-4
    scale_rewards: str = "group"
    loss_type: str = "grpo"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0
    kl: str = "k3"
    num_iterations: int = 1
    ref_model_sync_steps: int | None = None
    mask_truncated_completions: bool = False
    drop_zero_spread: bool = True
    dynamic_sampling: int = 1
    max_grad_norm: float = 1.0
    parts: int = 4

    def __post_init__(self) -> None:
        if self.num_generations < 2:
            raise ValueError("num_generations is 1: a group of one has nothing to be compared with")
        if self.algorithm not in ALGORITHMS:
            hint = did_you_mean(self.algorithm, ALGORITHMS)
            raise ValueError(f"no algorithm {self.algorithm}.{hint} There are: {', '.join(ALGORITHMS)}")
        if self.beta < 0:
            raise ValueError(f"beta is {self.beta:g}; it must be at least 0")
        if self.beta > 0 and self.algorithm != "grpo":
            raise ValueError(
                f"beta is {self.beta:g}, but {self.algorithm} is held to no reference: make it 0"
            )
        at_least_1 = "steps num_prompts max_completion_length num_iterations dynamic_sampling parts"
        for name in at_least_1.split():
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # DeepSeek-R1 v2 (arXiv:2501.12948), §2.1: 32 questions of 16 answers, the reference replaced every 400 steps.
    "r1-zero": {
        "num_prompts": 32, "num_generations": 16, "learning_rate": 3e-6, "beta": 0.001, "ref_model_sync_steps": 400,
    },
    # DeepSeekMath (arXiv:2402.03300), §4.2: 64 answers, one update for each sampling.
    "deepseekmath": {"num_generations": 64, "learning_rate": 1e-6, "beta": 0.04, "num_iterations": 1},
    # "Understanding R1-Zero-like training" (arXiv:2503.20783), §3.2: neither the length nor the spread divides.
    "dr-grpo": {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.0},
}  # fmt: skip
"""Published configurations by the name of their source; a field that the source does not give keeps our default."""


def grpo_config(preset: str = "", **changes: Any) -> GRPOConfig:
    """A preset, with changes. Raises ValueError: an unknown preset; the message names the nearest."""
    if preset and preset not in PRESETS:
        hint = did_you_mean(preset, PRESETS, cutoff=0.3)
        raise ValueError(f"no preset {preset}.{hint} There are: {', '.join(PRESETS)}")
    return GRPOConfig(**{**PRESETS.get(preset, {}), **changes})
