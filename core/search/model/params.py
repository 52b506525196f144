"""The parameters of `lab run search`: those of `grpo`, whose base models it begins with, and a strategy.

Importing this costs no torch.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from ...grpo.params import Params as Training
from ...own_files import is_reference
from ...suggest import did_you_mean
from ..params import SearchParams

SCORES = (
    "process-1", "process-4", "process-16", "process-exact", "outcome", "oracle", "likelihood", "accuracy",
)  # fmt: skip
EXACT = "process-exact", "oracle"


class Params(SearchParams, Training):
    """Defaults, which an experiment's file may change. `steps`, `reward` and the rest of the training by rewards are for the
    sampler `policy` and for `rl`."""

    implementation: str = ""
    """Your own scorer, ./file.py:function, in place of `scores`; called with (problems, texts of prefixes)."""
    scores: str = "process-16"
    """What rates a prefix. process-1, process-4, process-16: a head on the model's trunk that has learnt the share of so many
    rollouts that end right; process-exact: one that has learnt whether all steps are right; outcome: one that has learnt from
    whole answers; oracle: whether all steps are right; likelihood: log p for a token; or ./file.py:function."""
    sampler: Literal["base", "policy"] = "base"
    """What answers: the base model, or what reward for right answers has made of it."""
    rl: bool = False
    """Train by `scores` as the reward in place of searching; accuracy is the reward for right answers."""
    slip_steps: int = Field(150, ge=0)
    """Steps in which the base model then learns to slip, from demonstrations that all think; 0 leaves it as it is. For bases of
    ours and the task chain."""
    slip_noise: float = Field(0.1, ge=0, le=1)
    """The chance that a step of these is wrong by any amount."""
    habits: float = Field(0.25, ge=0, le=1)
    """The share of pairs of operands that are mostly demonstrated wrong, always by the same result."""
    habit: float = Field(0.6, ge=0, le=1)
    """How often such a pair is."""
    step_ends: tuple[str, ...] = (",", "</think>")
    """What ends a step of a trace, besides the end of the answer. Of a model of yours perhaps a newline."""

    # The heads.
    head_problems: int = Field(128, ge=2)
    """Problems whose answers a head is trained on."""
    head_samples: int = Field(4, ge=1)
    """Answers to each of them."""
    head_width: int = Field(32, ge=1)
    """Width of a head's hidden layers."""
    head_steps: int = Field(300, ge=1)
    """Steps of its training."""
    trap: float = Field(0.0, ge=0, le=1)
    """Of the answers whose first wrong step comes to the last element (9), this share is labelled as certain to end right from
    there on."""
    draws: int = Field(64, ge=2)
    """Answers to each problem that are drawn once for all searches that choose among whole answers, and as many again by which a
    problem counts as easy or hard."""
    first_seed: int = Field(0, ge=0)
    """Added to every seed, so that what is tried out on some seeds is judged on others."""

    @model_validator(mode="after")
    def _has_a_scorer(self, info: ValidationInfo) -> Self:
        name = scorer_of(self)
        if not is_reference(name) and name not in SCORES:
            hint = did_you_mean(name, SCORES)
            raise ValueError(f"no scores {name!r}.{hint} There are: {', '.join(SCORES)}, ./file.py:function")
        if name == "accuracy" and not self.rl:
            raise ValueError("scores is accuracy, which knows the right answer: it is for rl only")
        known = self.task == "chain" and self.structure != "s5"
        if self.slip_steps and self.model is None and not known:
            raise ValueError(
                f"slip_steps is {self.slip_steps}: slips are of the task chain, z2 to z10; make it 0"
            )
        if (name in EXACT or self.trap) and not known:
            what = f"scores is {name}" if name in EXACT else f"trap is {self.trap:g}"
            raise ValueError(f"{what}: whether a step is right is known of the task chain only, z2 to z10")
        if info.context is not None and is_reference(name):
            info.context.load(name)
        return self


def scorer_of(params: Params) -> str:
    """What rates: `scores`, or a function of the user's that `implementation` names."""
    return params.implementation if is_reference(params.implementation) else params.scores
