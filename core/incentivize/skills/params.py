"""The parameters of `lab run incentivize-skills`. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ...trial import Params as AnyParams

Resource = Literal["steps", "data", "width"]


class Params(AnyParams):
    """Parities of different frequency, a network of one hidden layer, and which skill of it is looked at."""

    skill: int = Field(1, ge=1)
    """Which one is reported, from 1, the most frequent."""
    skills: int = Field(5, ge=1)
    """n_s, how many there are."""
    skill_bits: int = Field(3, ge=1)
    """m, bits whose parity a skill is."""
    bits: int = Field(32, ge=1)
    """n_b, bits of an input beside those that say which skill is asked for."""
    alpha: float = Field(0.6, ge=-1, allow_inf_nan=False)
    """Skill i is asked for in proportion to i^-(alpha+1); -1: all alike."""

    learner: Literal["network", "curve"] = "network"
    """curve: no network, but Nam's curve, fitted to a network that is given the first skill alone."""
    fit_steps: int = Field(2000, ge=1)
    """Steps of that network's training."""
    sees: Literal["all", "its share", "it alone"] = "all"
    """all: one network for all skills; its share: one for this skill, of the same samples those that ask for it; it alone: one
    whose samples all ask for it."""
    teach: bool = False
    """Whether it also gets the parity of a skill's first 1, 2, … bits as labels, for outputs of their own."""
    over: Resource = "steps"
    """What a skill's arrival is counted in. data, width: networks of several sizes of it are trained, to the last step."""
    sizes: list[int] = []
    """Of data or width, ascending."""

    width: int = Field(128, ge=1)
    """Hidden units."""
    steps: int = Field(2000, ge=1)
    """Of training."""
    batch: int = Field(256, ge=1)
    """Samples of a step, new ones in each but for `over: data`."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """sgd without momentum, adam with betas 0.9 and 0.999; neither with decay."""
    learning_rate: float = Field(1e-2, gt=0, allow_inf_nan=False)
    """Constant."""
    scale: float = Field(1.0, gt=0, allow_inf_nan=False)
    """S: labels are ±S."""
    spread: float = Field(0.1, gt=0, allow_inf_nan=False)
    """Standard deviation of the first weights."""
    arrives: float = Field(0.5, gt=0, lt=1)
    """The strength E[g f]/S from which a skill has arrived."""
    evaluations: int = Field(60, ge=2)
    """At so many steps, evenly spaced on a log scale."""
    early: float = Field(0.125, gt=0, le=1)
    """`early/…` are figures after this share of the steps."""
    eval_samples: int = Field(2000, ge=2)
    """Of each skill."""
    first_seed: int = Field(0, ge=0)
    """Added to each seed: what is tuned on some seeds is judged on others."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.skill_bits > self.bits:
            raise ValueError(f"a skill is the parity of {self.skill_bits} bits, and there are {self.bits}")
        if self.skills * self.skill_bits > self.bits:
            raise ValueError(
                f"{self.skills} skills of {self.skill_bits} bits each, which they do not share, need "
                f"{self.skills * self.skill_bits} bits; there are {self.bits}"
            )
        if self.skill > self.skills:
            raise ValueError(f"skill is {self.skill}, and there are {self.skills}")
        if self.over != "steps" and (
            len(self.sizes) < 2 or self.sizes != sorted(set(self.sizes)) or self.sizes[0] < 1
        ):
            raise ValueError(
                f"over: {self.over} needs two or more sizes of 1 or more, ascending; they are {self.sizes}"
            )
        if self.over != "steps" and (self.sees != "all" or self.learner != "network"):
            raise ValueError(f"over: {self.over} is for networks that see all skills")
        return self
