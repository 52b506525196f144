"""The parameters of a GRPO experiment, and what they make: task, mixture, configuration of the trainer, base model.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from ..lm.pretrained import PretrainedModel, written_as_model
from ..own_files import digest, is_reference
from ..position.names import check_generating, check_heads
from ..trial import Nearby
from ..trial import Params as AnyParams
from .reward_spec import reward_terms

if TYPE_CHECKING:
    from .base_model import BaseModelSpec
    from .config import GRPOConfig
    from .tasks import Mixture, Task


Load = Callable[[str], Callable[..., Any]]
"""From `./file.py:function` to the function."""


class Params(AnyParams):
    """The parameters of a GRPO experiment. Those of the trainer have TRL's names; see `config.GRPOConfig`."""

    reward: str = "accuracy+format"
    """Rewards joined by +, each with a weight or without: "accuracy+0.2*format". There are accuracy, format, language,
    length, random, and yours as "./file.py:function", called with (problems, completions). A path with a + begins with
    ./, ../, / or ~."""

    # The task, and the depth of its problems: the smallest and the largest number of steps.
    task: str = "chain"
    """A name, or yours as "./file.py:function"; the function returns a `tasks.Task`. Its parameters base, train and
    harder, if it has them, are the depths."""
    structure: str = "z10"
    """Of chain: what is added up: z2, z3, …, z10 (digits) or s5 (permutations)."""
    operators: str = ""
    """Of chain: one or more of the structure's operators; the first by default."""
    alphabet: str = ""
    """Of chain: a second alphabet of digits for traces, such as ABCDEFGHIJ. The reward `language` is for the prompt's."""
    base_depth: tuple[int, int] = (1, 4)
    """Steps of the problems that the base model is trained on."""
    train_depth: tuple[int, int] = (3, 5)
    """Steps of the problems of the training by rewards, and of the test."""
    harder_depth: tuple[int, int] = (6, 8)
    """Steps of the problems beyond training."""

    also: str = ""
    """A second built-in task, by name, shown to the base model beside the first and not trained by rewards."""
    also_share: float = Field(0.3, gt=0, lt=1)
    """The share of the base model's demonstrations that are of it."""

    # The demonstrations of the base model; see `tasks.Mixture`.
    long: float = Field(0.25, ge=0, le=1)
    """The share of demonstrations with a trace."""
    noise: float = Field(0.03, ge=0, le=1)
    """The chance that a step of a trace is wrong."""
    slips: float = Field(0.3, ge=0, le=1)
    """The share of long answers with a broken format."""
    leaps: float = Field(0.1, ge=0, le=1)
    """The share of long traces that take two steps at once."""
    tagged: bool = True
    """Whether traces stand in <think> tags."""
    direct_noise: float = Field(0.0, ge=0, le=1)
    """The chance that an answer without a trace is a guess."""
    mixed: float = Field(0.0, ge=0, le=1)
    """The share of long traces that mix two alphabets, step by step."""
    second: float = Field(0.0, ge=0, le=1)
    """The share of the other long traces that are in the second alphabet throughout."""
    second_noise: float | None = Field(None, ge=0, le=1)
    """As `noise`, in the second alphabet; left out, the same."""

    model: PretrainedModel | None = None
    """A pretrained model to start from, {hf: ./folder}, instead of a base model; its accuracy must be inside `window`."""

    # The base model and its training, if there is no pretrained one.
    d_model: int = Field(64, ge=8)
    """Width of the base model."""
    layers: int = Field(2, ge=1)
    """Layers of the base model."""
    heads: int = Field(4, ge=1)
    """Heads of the queries."""
    kv_heads: int = Field(2, ge=1)
    """Heads of the keys and values."""
    d_ff: int = Field(192, ge=8)
    """Width of the feed-forward layers."""
    position: Annotated[str, AfterValidator(check_generating)] = "rope"
    """How the base model is told positions: none, learned, sinusoidal, alibi, t5, rope, …"""
    base_steps: int = Field(600, ge=1)
    """Steps of its training on demonstrations."""
    base_batch: int = Field(128, ge=1)
    """Demonstrations in a step of it."""
    demonstrations: int = Field(30_000, ge=1)
    """Demonstrations that it is trained on."""
    first_steps: int = Field(0, ge=0)
    """Steps of a training before that, in which `first_long` of the demonstrations think; one model for all shares `long`."""
    first_long: float = Field(0.8, ge=0, le=1)
    """The share of demonstrations with a trace there."""
    first_window: tuple[float, float] = (0.0, 1.0)
    """The smallest and the largest accuracy after it; outside of it another one is trained, `attempts` times."""
    window: tuple[float, float] = (0.0, 1.0)
    """The smallest and the largest accuracy of an accepted base model; outside of it another one is trained, and a
    pretrained model is refused."""
    attempts: int = Field(4, ge=1)
    """Base models that are tried until one is inside `window`."""

    # The trainer.
    algorithm: Literal["grpo", "rft", "sft"] = "grpo"
    """grpo, or a control, next-token training: rft on its own right answers, sft on demonstrations; see `GRPOConfig`."""
    sft_tokens: int | None = Field(None, ge=1)
    """Least number of tokens in a step of sft; left out, as many demonstrations as the others have
    completions."""
    sft_shown: Literal["base", "full"] = "base"
    """The demonstrations of sft: "base", of the base model's depths and mixture; "full", only right and full traces, of
    `train_depth` if the task takes depths."""
    preset: str = ""
    """A published configuration: "r1-zero", "deepseekmath", "dr-grpo". What the experiment sets takes precedence."""
    steps: int = Field(40, ge=1)
    """Rollouts, each with `num_iterations` updates."""
    num_prompts: int = Field(32, ge=1)
    """Problems in a step."""
    num_generations: int = Field(8, ge=2)
    """G: completions for each problem."""
    max_completion_length: int | None = Field(None, ge=1)
    """In tokens, those of a pretrained model if there is one; the task's longest demonstration by default."""
    temperature: float = Field(1.0, gt=0)
    """Of sampling."""
    learning_rate: float = Field(3e-4, gt=0)
    """Of the training by rewards."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Whose standard deviation divides the advantages: the group's, the batch's, or none."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "gspo", "cispo"] = "grpo"
    """Whose loss, and so what a token's weight is."""
    epsilon: float = Field(0.2, ge=0)
    """How far the ratio to the old policy may fall, and rise too unless `epsilon_high` says otherwise,
    before it is clipped."""
    epsilon_high: float | None = Field(None, ge=0)
    """How far it may rise; left out, as far as `epsilon`."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL divergence from the model before training; 0 leaves it out."""
    kl: Literal["k1", "k2", "k3"] = "k3"
    """The estimator of that divergence."""
    num_iterations: int = Field(1, ge=1)
    """μ: updates on the completions of a step."""
    ref_model_sync_steps: int | None = Field(None, ge=1)
    """After so many steps the reference becomes a copy of the policy; left out, never."""
    mask_truncated_completions: bool = False
    """Whether completions that were cut off stay out of the loss."""
    drop_zero_spread: bool = True
    """Whether groups whose rewards are all equal are left out of the computation."""
    dynamic_sampling: int = Field(1, ge=1)
    """Most rounds of sampling in which such groups are replaced (DAPO); 1 replaces none."""

    # Evaluation.
    eval_every: int = Field(10, ge=1)
    """Steps between two points of the curves."""
    eval_problems: int = Field(128, ge=1)
    """Problems of the test."""
    eval_samples: int = Field(8, ge=1)
    """Completions for each problem of the test."""

    @field_validator("reward")
    @classmethod
    def _is_a_reward(cls, value: str) -> str:
        reward_terms(value)
        return value

    @field_validator("model", mode="before")
    @classmethod
    def _is_a_model(cls, value: object) -> object:
        return written_as_model(value)

    @model_validator(mode="after")
    def _means_something(self, info: ValidationInfo) -> Self:
        """Find mistakes before anything is trained.

        Tasks and models of the user's are only checked where it is known what their paths are relative to.
        """
        for name, window in (("window", self.window), ("first_window", self.first_window)):
            if not 0 <= window[0] < window[1] <= 1:
                raise ValueError(f"{name} is {list(window)}; it is two shares, the lower first")
        check_heads(self.position, self.d_model, self.heads)
        grpo_config_of(self, longest=1)
        _check_controls(self)
        nearby: Nearby | None = info.context
        if nearby is None and is_reference(self.task):
            return self
        if self.task.startswith("gym/"):  # imports a package that may not be there
            _check_alphabets(self, ())
            return self
        task = task_of(self, nearby.load if nearby else None)
        _check_alphabets(self, task.alphabets)
        if nearby is not None and self.model is not None:
            from .pretrained_model import check_pretrained

            check_pretrained(nearby.path(self.model.hf), task, mixture_of(self), self.max_completion_length)
        return self


def _check_controls(params: Params) -> None:
    """Raise ValueError for what rft and sft cannot do."""
    if params.algorithm == "sft" and params.model is not None:
        raise ValueError(
            "sft is for bases of ours: a given model's tokenizer writes prompts, not demonstrations"
        )
    if params.algorithm == "rft":
        for name, weight in reward_terms(params.reward).items():
            if name == "length" or is_reference(name) or weight <= 0:
                raise ValueError(
                    f"rft learns the completions of maximal reward; with {weight:g}*{name} that is not known"
                )


def _check_alphabets(params: Params, alphabets: Sequence[str]) -> None:
    if len(alphabets) > 1:
        return
    in_use = {"mixed": params.mixed, "second": params.second, "second_noise": params.second_noise is not None}
    in_use["the reward language"] = "language" in reward_terms(params.reward)
    for name in filter(in_use.get, in_use):
        raise ValueError(
            f"{name} is for traces in two alphabets: task chain with a second one, alphabet: ABCDEFGHIJ, or yours with two"
        )


DEPTHS = "base", "train", "harder"
TASK_OPTIONS = "structure", "operators", "alphabet"
"""Parameters that a built-in task takes under their own names, where it has them; depths it takes as `DEPTHS`."""


def task_of(params: Params, load: Load | None) -> Task:
    if not params.also:
        return _main_task(params, load)
    from .tasks.also import with_also

    return with_also(_main_task(params, load), also_of(params), params.also_share)


def also_of(params: Params) -> Task:
    """The second task. Raises ValueError: there is none of that name."""
    from .tasks import task

    return task(params.also)


def _main_task(params: Params, load: Load | None) -> Task:
    from .tasks import TASKS, task

    depths = {name: getattr(params, f"{name}_depth") for name in DEPTHS}
    if load is not None and is_reference(params.task):
        from .tasks.user_task import user_task

        return user_task(params.task, load(params.task), depths, mixture_of(params))
    options = depths | {name: getattr(params, name) for name in TASK_OPTIONS}
    make = TASKS.get(params.task)
    takes = inspect.signature(make).parameters if make else ()
    return task(params.task, **{name: value for name, value in options.items() if name in takes})


def task_key(params: Params, task: Task) -> str:
    """Cache key of a task: its parameters; for a user's function also digests of its file and of a sample of its output.

    The folder of the file is not in it.
    """
    keys = "task", *TASK_OPTIONS, *(f"{name}_depth" for name in DEPTHS), "also", "also_share"
    words = " ".join(f"{key}={getattr(params, key)}" for key in keys)
    if not is_reference(params.task):
        return words
    from .tasks.sample import sample

    file, _, function = params.task.rpartition(":")
    # The function may import other files, so that the digest of its own is not enough.
    of_sample = sha256(repr(sample(task, mixture_of(params))).encode()).hexdigest()
    return words.replace(params.task, f"{digest(Path(file))}:{function} {of_sample}", 1)


def mixture_of(params: Params) -> Mixture:
    from dataclasses import fields

    from .tasks import Mixture

    return Mixture(**{field.name: getattr(params, field.name) for field in fields(Mixture)})


def with_sft_demonstrations(params: Params, task: Task, load: Load) -> Task:
    """The task with the demonstrations that sft learns from."""
    if params.sft_shown == "base":
        return task
    from dataclasses import replace

    train_task = task_of(params.model_copy(update={"base_depth": params.train_depth}), load)
    return replace(task, demonstrations=train_task.demonstrations)


def grpo_config_of(params: Params, longest: int) -> GRPOConfig:
    """The trainer's configuration; `longest` is its `max_completion_length` if the experiment gives none."""
    from dataclasses import fields, replace

    from .config import GRPOConfig, grpo_config

    # A preset's value holds unless the experiment gives one.
    names = {field.name for field in fields(GRPOConfig)} & set(Params.model_fields)
    explicit = names & params.model_fields_set if params.preset else names
    changes = {name: getattr(params, name) for name in explicit}
    mixture = mixture_of(params)
    if params.sft_shown == "full":
        mixture = replace(mixture, long=1.0, noise=0.0, slips=0.0, leaps=0.0, mixed=0.0, second=0.0)
    changes |= {"steps": params.steps, "mixture": mixture}
    if changes.get("max_completion_length") is None:
        changes["max_completion_length"] = longest
    return grpo_config(params.preset, **changes)


def first_of(params: Params) -> Params | None:
    """What the first part of a base model's training is asked for; None where there is one part only."""
    if not params.first_steps:
        return None
    changes = {"long": params.first_long, "base_steps": params.first_steps, "window": params.first_window}
    return params.model_copy(update={**changes, "first_steps": 0})


def base_model_of(params: Params, task: Task) -> BaseModelSpec:
    from ..lm.model import Config
    from ..lm.training import Recipe
    from .base_model import BaseModelSpec

    return BaseModelSpec(
        model=Config(
            vocabulary=task.vocabulary.size,
            context=task.longest_prompt + max(params.max_completion_length or 0, task.longest_completion),
            d_model=params.d_model,
            layers=params.layers,
            heads=params.heads,
            kv_heads=params.kv_heads,
            d_ff=params.d_ff,
            position=params.position,
        ),
        mixture=mixture_of(params),
        # Parts save padding or use cores; of a small batch of a narrow model they cost more than that.
        recipe=Recipe(
            params.base_steps,
            params.base_batch,
            parts=min(4, max(1, params.base_batch * params.d_model // 2048)),
        ),
        demonstrations=params.demonstrations,
        window=params.window,
        attempts=params.attempts,
        first=None if (first := first_of(params)) is None else base_model_of(first, task),
    )
