"""The knobs of the trainer, under the names of TRL's GRPOConfig, and what the sources set them to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..suggest import did_you_mean
from .tasks import Mixture

ALGORITHMS = ("grpo", "rft", "sft")


@dataclass(frozen=True)
class Settings:
    """How a policy is trained.

    Attributes:
        algorithm: "grpo", or one of its controls, next-token training with the same optimizer: "rft" on those of its own
            answers that earn all there is to earn (online rejection sampling fine-tuning; DeepSeekMath §4.1.2), "sft"
            on fresh demonstrations.
        sft_tokens: sft is shown demonstrations of at least so many tokens a step; where it is None, as many
            demonstrations as the others sample completions.
        mixture: what these demonstrations are like.
        steps: rollouts; each is followed by `num_iterations` updates (μ).
        num_prompts, num_generations: so many problems a step with so many completions each (G).
        max_completion_length: in tokens; what does not end by then is cut off.
        scale_rewards: what advantages are divided by: "group", "batch", "none".
        loss_type: "grpo", "bnpo", "dr_grpo", "dapo", "gspo", "cispo".
        epsilon, epsilon_high: clipping below and above; the same for both where `epsilon_high` is None.
        beta, kl: weight and estimator ("k1", "k2", "k3") of the divergence from the reference, the base model;
            importance-corrected, so that its gradient is that of the divergence (DeepSeekMath's k3 is not).
        ref_model_sync_steps: the reference becomes the policy every so many steps; None: it stays the base.
        mask_truncated_completions: what was cut off takes no part in the loss.
        drop_zero_spread: groups whose rewards are all equal are left out of the computation. Their advantages are 0, so
            without a divergence (beta 0) the gradient is the same; a batch of such groups alone moves nothing.
        dynamic_sampling: such groups are replaced by new ones, for at most so many rounds of sampling (DAPO,
            arXiv:2503.14476, §3.2); 1 samples once. A step's metrics are those of the groups that it keeps.
        parts: an update is computed in so many parts of completions of like length, which saves padding.
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
        for name in (
            "steps",
            "num_prompts",
            "max_completion_length",
            "num_iterations",
            "dynamic_sampling",
            "parts",
        ):
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
"""Published settings by the name of their source; what a source leaves open keeps our default."""


def settings(preset: str = "", **changes: Any) -> Settings:
    """A preset's settings, then the changes.

    Raises:
        ValueError: there is no such preset; the message names the nearest.
    """
    if preset and preset not in PRESETS:
        hint = did_you_mean(preset, PRESETS, cutoff=0.3)
        raise ValueError(f"no preset {preset}.{hint} There are: {', '.join(PRESETS)}")
    return Settings(**{**PRESETS.get(preset, {}), **changes})
