"""The parameters of an experiment with stages, and the stages that lead to the one that is measured.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..grpo.params import Params as GRPOParams
from ..grpo.reward_spec import reward_terms
from ..own_files import is_reference
from ..suggest import nearest

BASE = "base"
"""What the first stage comes after."""


class Stage(BaseModel):
    """One stage. By reward it goes on from the model of the stage before it, by samples it begins at the base model."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    after: str
    """The stage before it, or base."""
    by: Literal["reward", "samples"]
    """reward: GRPO. samples: next-token training of the base model on answers of the stage before it that are right,
    well-formed and in the prompt's alphabet."""

    reward: str = "accuracy+format"
    """By reward: of reasoning prompts, in the words of `grpo`."""
    steps: int = Field(40, ge=1)
    """By reward: rollouts, each with an update."""
    temperature: float = Field(1.0, gt=0)
    """By reward: of sampling."""
    general: float = Field(0.0, ge=0, lt=1)
    """By reward: the share of general prompts among a step's."""
    general_from: float = Field(0.0, ge=0, lt=1)
    """By reward: the share of the steps that pass before there are general prompts."""
    preference_from: float | None = Field(None, ge=0, lt=1)
    """By reward: the share of the steps that pass before the learnt preference is a reward of general prompts; left out, it
    never is."""

    samples: int = Field(0, ge=0)
    """By samples: how many."""
    demonstrations: int = Field(0, ge=0)
    """By samples: answers to general prompts of better taste than the base's that are shown beside them."""
    epochs: int = Field(4, ge=1)
    """By samples: how often all of it is shown."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        reward_terms(self.reward)
        of_reward = "reward steps temperature general general_from preference_from"
        of_other = "samples demonstrations epochs" if self.by == "reward" else of_reward
        for name in of_other.split():
            if name in self.model_fields_set:
                raise ValueError(f"{name} means nothing to a stage by {self.by}")
        if self.by == "samples" and not self.samples + self.demonstrations:
            raise ValueError("a stage by samples is shown nothing: give samples, demonstrations or both")
        if self.preference_from is not None and not self.general:
            raise ValueError(
                "preference_from is for general prompts, and there are none: give general, their share"
            )
        if self.preference_from is not None and self.preference_from < self.general_from:
            raise ValueError(
                f"preference_from is {self.preference_from:g}, and general prompts come from {self.general_from:g} on"
            )
        return self


class Params(GRPOParams):
    """What such an experiment may vary. Parameters of `grpo` are the base model's, the trainer's and the task's; `also_share`
    is the share of general prompts in the base model's demonstrations."""

    stages: dict[str, Stage]
    """All stages by name, each behind the one that it comes after."""
    stage: str = BASE
    """The stage that is measured, or base; those that lead to it are made before it, unless they are there."""
    without: list[str] = []
    """Stages that are left out: what comes after one of them then comes after the stage before it."""
    change: dict[str, dict[str, Any]] = {}
    """What is changed in stages: {dev1: {samples: 16}}."""

    sample_batch: int = Field(16, ge=1)
    """Samples in a step of fine-tuning."""
    sample_learning_rate: float = Field(1e-3, gt=0)
    """Of fine-tuning."""
    most_answers: int = Field(16_384, ge=1)
    """Answers that are drawn at most for the samples of a stage; it is refused where too few of them can be taken."""

    # Taste, and the model of it.
    letters: tuple[int, int] = (4, 6)
    """The least and the largest number of letters that a general prompt asks for."""
    in_order: tuple[float, float] = (0.2, 0.8)
    """The least and the largest share of letters in order in a demonstration of a base model; the others are drawn at random."""
    better_in_order: tuple[float, float] = (0.6, 1.0)
    """The same in the demonstrations of better taste, which stages by samples may be shown."""
    pairs: int = Field(1024, ge=1)
    """Pairs of the base model's answers from which a preference is learnt."""
    flaw: float = Field(0.5, ge=0, le=1)
    """The share of these pairs in which the answer with more marks is preferred, and not that of better taste."""

    first_seed: int = Field(0, ge=0)
    """Added to every seed, so that what is tuned on some seeds is judged on others."""

    @field_validator("without", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_a_pipeline(self) -> Self:
        if self.model is not None or self.algorithm != "grpo" or self.also or is_reference(self.task):
            raise ValueError(
                "here stages begin at a base model of ours, by grpo, on a built-in task: leave model, algorithm and also "
                "out"
            )
        if not self.alphabet:
            raise ValueError(
                "format is measured in the alphabet that is asked for: give a second, alphabet: ABCDEFGHIJ"
            )
        if not 2 <= self.letters[0] <= self.letters[1] <= 8:
            raise ValueError(
                f"letters is {list(self.letters)}; it is two lengths from 2 to 8, the smaller first"
            )
        for what, shares in (("in_order", self.in_order), ("better_in_order", self.better_in_order)):
            if not 0 <= shares[0] <= shares[1] <= 1:
                raise ValueError(f"{what} is {list(shares)}; it is two shares, the smaller first")
        before: list[str] = []
        for name, stage in self.stages.items():
            if name == BASE:
                raise ValueError(f"no stage can be called {BASE}: it is what the first one comes after")
            if stage.after not in (BASE, *before):
                where = "stands behind it" if stage.after in self.stages else "is no stage"
                hint = "" if stage.after in self.stages else nearest(stage.after, (BASE, *self.stages))
                raise ValueError(f"stage {name} comes after {stage.after}, which {where}.{hint}")
            before.append(name)
        named = {"stage": [self.stage], "without": self.without, "change": list(self.change)}
        for what, names in named.items():
            for name in names:
                if name not in self.stages and (what, name) != ("stage", BASE):
                    raise ValueError(f"{what}: no stage {name}.{nearest(name, self.stages)}")
        stages_of(self)
        return self


def stages_of(params: Params) -> dict[str, Stage]:
    """All stages that are not left out, changed as asked, each after one of them or base.

    Raises ValueError: a change that means nothing; the message names stage and key.
    """
    found: dict[str, Stage] = {}
    instead = {BASE: BASE}  # of a stage that is left out the one before it
    for name, stage in params.stages.items():
        after, changes = instead[stage.after], params.change.get(name, {})
        if "after" in changes:
            raise ValueError(
                f"change: stage {name}: after cannot be changed; leave out what lies between, without"
            )
        try:
            changed = Stage(**stage.model_dump(exclude_unset=True) | changes | {"after": after})
        except ValidationError as error:
            raise ValueError(f"change: stage {name}: {_first(error)}") from error
        of_general = round(changed.general * params.num_prompts)
        if changed.general and not 0 < of_general < params.num_prompts:
            raise ValueError(
                f"stage {name}: general is {changed.general:g}, {of_general} of the {params.num_prompts} prompts of a step; "
                "there are to be some of both kinds"
            )
        instead[name] = after if name in params.without else name
        if name not in params.without:
            found[name] = changed
    return found


def way_to(params: Params) -> list[str]:
    """The stages that lead from base to the one that is measured, that included; where it is left out, to the one before it."""
    stages, name = stages_of(params), params.stage
    while name in params.without:
        name = params.stages[name].after
    way = []
    while name != BASE:
        way.append(name)
        name = stages[name].after
    return way[::-1]


def _first(error: ValidationError) -> str:
    one: Mapping[str, Any] = error.errors()[0]
    key = ".".join(map(str, one["loc"]))
    if one["type"] == "extra_forbidden":
        return f"no {key}.{nearest(key, Stage.model_fields)}"
    said = str(one["msg"]).removeprefix("Value error, ")
    return f"{key}: {said}" if key else said
