"""What an experiment about GRPO may vary, and one training: a base model, then reward alone.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ..trial import Context
from ..trial import Params as AnyParams

if TYPE_CHECKING:
    import numpy as np

    from ..lm.model import Transformer
    from .base import Base
    from .rewards import Composed, Reward
    from .rollout import Rollout
    from .settings import Settings
    from .tasks import Mixture, Problem, Task
    from .trainer import Batch, Rewards


REWARDS = "accuracy", "format", "length", "random"
HELD_OUT = 1_000_003
"""Sets the random numbers of held-out problems apart from those of any step."""


class Params(AnyParams):
    """The knobs of a GRPO experiment. Those of the trainer bear TRL's names; see `Settings`."""

    reward: str = "accuracy+format"
    """What is paid for, joined by +, each with a weight if need be: "accuracy+0.2*format". There are accuracy, format,
    length, random, or alone yours as "./file.py:function", called with (problems, completions)."""

    # The task, and how deep its problems are: the least and the largest number of steps.
    task: str = "chain"
    structure: str = "z10"
    operators: str = ""
    """Of chain; its first where it is left out."""
    base_depth: tuple[int, int] = (1, 4)
    train_depth: tuple[int, int] = (3, 5)
    harder_depth: tuple[int, int] = (6, 8)

    # What the base model has seen; see `tasks.Mixture`.
    long: float = Field(0.25, ge=0, le=1)
    noise: float = Field(0.03, ge=0, le=1)
    slips: float = Field(0.3, ge=0, le=1)
    leaps: float = Field(0.1, ge=0, le=1)
    tagged: bool = True
    direct_noise: float = Field(0.0, ge=0, le=1)

    # The model and its base training.
    d_model: int = Field(64, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    kv_heads: int = Field(2, ge=1)
    d_ff: int = Field(192, ge=8)
    base_steps: int = Field(600, ge=1)
    base_batch: int = Field(128, ge=1)
    demonstrations: int = Field(30_000, ge=1)
    window: tuple[float, float] = (0.0, 1.0)
    """A base is taken when so much of it is right when sampled; else another one is trained."""
    attempts: int = Field(4, ge=1)

    # The trainer.
    algorithm: Literal["grpo", "rft", "sft"] = "grpo"
    """Or a control: next-token training, on its own right answers or on demonstrations; see `Settings`."""
    sft_tokens: int | None = Field(None, ge=1)
    preset: str = ""
    """Published settings by source: "r1-zero", "deepseekmath", "dr-grpo". What an experiment sets itself stands."""
    steps: int = Field(40, ge=1)
    num_prompts: int = Field(32, ge=1)
    num_generations: int = Field(8, ge=2)
    max_completion_length: int | None = Field(None, ge=1)
    """In tokens; the longest demonstration of the task where it is left out."""
    temperature: float = Field(1.0, gt=0)
    learning_rate: float = Field(3e-4, gt=0)
    scale_rewards: Literal["group", "batch", "none"] = "group"
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "gspo", "cispo"] = "grpo"
    epsilon: float = Field(0.2, ge=0)
    epsilon_high: float | None = Field(None, ge=0)
    beta: float = Field(0.0, ge=0)
    kl: Literal["k1", "k2", "k3"] = "k3"
    num_iterations: int = Field(1, ge=1)
    ref_model_sync_steps: int | None = Field(None, ge=1)
    mask_truncated_completions: bool = False
    drop_zero_spread: bool = True
    dynamic_sampling: int = Field(1, ge=1)

    # Evaluation.
    eval_every: int = Field(10, ge=1)
    eval_problems: int = Field(128, ge=1)
    eval_samples: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        """All that can be known to be wrong before anything is trained."""
        if not 0 <= self.window[0] < self.window[1] <= 1:
            raise ValueError(f"window is {list(self.window)}; it is two shares, the lower first")
        if not self.task.startswith("gym/"):  # imports a package that may not be there
            _task(self)
        _settings(self)
        if "length" in reward_terms(self.reward) and self.algorithm == "rft":
            raise ValueError(
                "rft learns the answers that earn all there is to earn; of length there is no such"
            )
        return self


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Base model, then `steps` of GRPO, with evaluations before, between and after.

    Returns:
        The last evaluation's figures (`eval/…`), those of harder problems (`harder/…`), and those of the base
        (`base/…`, and `base/above_predicted`, by how much it is more often right than `predicted_accuracy` says);
        `gain/…` is after minus before, `train/…` the mean over all steps.

    Raises:
        ValueError: knobs that do not fit together.
        NoBase: no base model inside the window.
        RewardError, NotFinite: training stopped; the last checkpoint is kept.
    """
    from .base import load_base, make_base
    from .trainer import policy, train_step

    task, settings = _task(params), _settings(params)
    base = _base(params, task)
    rewards = _rewards(params, task, context)
    folder = context.cached(
        base.key(_task_words(params), context.seed),
        lambda folder: make_base(folder, base, task, context.seed, _teller(context)),
    )
    model, facts = load_base(folder)
    model.to(context.device)
    trained = policy(model, settings)
    reference, _ = load_base(folder)
    reference.to(context.device)
    held_out = _held_out(params, task, context.seed, settings.max_completion_length, reference)
    before: dict[str, float]
    after: dict[str, float]
    if (state := context.restore()) is not None:
        done, before, after, means = state["step"], state["before"], state["after"], state["means"]
        trained.restore(state["policy"])
    else:
        done, before = 0, _evaluated(model, held_out, 0, context)
        after, means = before, {}
    for step in range(done + 1, settings.steps + 1):
        seen = train_step(trained, task, rewards, settings, seed=context.seed, step=step)
        context.record(step, **seen.metrics)
        context.progress(step, settings.steps)
        _go_on(means, seen.metrics)
        if step % params.eval_every == 0 or step == settings.steps:
            after = _evaluated(model, held_out, step, context)
            if seen.batch is not None:
                context.sample(step, _group(seen.batch, settings.num_generations))
            state = {"step": step, "before": before, "after": after, "means": means}
            context.save(state | {"policy": trained.state()})
    harder = {name.replace("eval/", "harder/"): x for name, x in held_out.figures(model, "harder")[0].items()}
    of_base = {name.replace("eval/", "base/"): value for name, value in before.items()}
    gains = {f"gain/{name.partition('/')[2]}": after[name] - before[name] for name in before if name in after}
    expected = _predicted(base.mixture, held_out)
    if expected is not None:
        of_base["base/above_predicted"] = before["eval/pass@1"] - expected
    of_steps = {f"train/{name}": total / count for name, (total, count) in means.items()}
    return after | harder | of_base | gains | of_steps | {"base/rejected": float(facts["rejected"])}


def _go_on(means: dict[str, tuple[float, int]], metrics: Mapping[str, float]) -> None:
    """Add a step to the sums of each metric and their counts; what took how long is no result."""
    for name, value in metrics.items():
        if "time" not in name:
            total, count = means.get(name, (0.0, 0))
            means[name] = total + value, count + 1


def _predicted(mixture: Mixture, held_out: HeldOut) -> float | None:
    """How much of the held-out problems a base would solve that has learnt its demonstrations and nothing more."""
    from statistics import fmean

    from .tasks import predicted_accuracy

    if (classes := held_out.task.classes) is None:
        return None
    return fmean(predicted_accuracy(mixture, p.difficulty, classes) for p in held_out.problems["test"])


def _task(params: Params) -> Task:
    from .tasks import task

    depths = {"base": params.base_depth, "train": params.train_depth, "harder": params.harder_depth}
    match params.task:
        case "chain":
            return task("chain", structure=params.structure, operators=params.operators, **depths)
        case "reverse" | "sort":
            return task(params.task, **depths)
        case name:
            return task(name)


def _task_words(params: Params) -> str:
    """Which task, with all that makes it."""
    keys = ("task", "structure", "operators", "base_depth", "train_depth", "harder_depth")
    return " ".join(f"{key}={getattr(params, key)}" for key in keys)


def _settings(params: Params) -> Settings:
    from dataclasses import fields

    from .settings import Settings, settings

    # What a preset says stands unless the experiment says otherwise.
    names = {field.name for field in fields(Settings)} & set(Params.model_fields)
    given = names & params.model_fields_set if params.preset else names
    changes = {name: getattr(params, name) for name in given}
    changes |= {"steps": params.steps, "mixture": _mixture(params)}
    if changes.get("max_completion_length") is None:
        changes["max_completion_length"] = _task(params).longest_completion
    return settings(params.preset, **changes)


def _base(params: Params, task: Task) -> Base:
    from ..lm.model import Config
    from ..lm.training import Recipe
    from .base import Base

    return Base(
        model=Config(
            vocabulary=task.vocabulary.size,
            context=task.longest_prompt + max(params.max_completion_length or 0, task.longest_completion),
            d_model=params.d_model,
            layers=params.layers,
            heads=params.heads,
            kv_heads=params.kv_heads,
            d_ff=params.d_ff,
        ),
        mixture=_mixture(params),
        recipe=Recipe(params.base_steps, params.base_batch),
        demonstrations=params.demonstrations,
        window=params.window,
        attempts=params.attempts,
    )


def _mixture(params: Params) -> Mixture:
    from .tasks import Mixture

    return Mixture(params.long, params.noise, params.slips, params.leaps, params.tagged, params.direct_noise)


def reward_terms(text: str) -> dict[str, float]:
    """`accuracy+0.2*format` as names with their weights.

    Raises:
        ValueError: a reward that is none or stands there twice, or a weight that is no finite number.
    """
    if ":" in text:  # a file, whose name may hold any sign
        return {text: 1.0}
    terms: dict[str, float] = {}
    for term in text.split("+"):
        weight, star, name = (part.strip() for part in term.rpartition("*"))
        if name not in REWARDS:
            near = get_close_matches(name, REWARDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"no reward {name!r}.{hint} There are: {', '.join(REWARDS)}, ./file.py:function")
        if name in terms:
            raise ValueError(f"the reward {name} stands there twice")
        try:
            terms[name] = float(weight) if star else 1.0
        except ValueError:
            raise ValueError(f"the weight of {name} is {weight!r}, which is no number") from None
        if not isfinite(terms[name]):
            raise ValueError(f"the weight of {name} is {weight}, which is not finite")
    return terms


def _rewards(params: Params, task: Task, context: Context) -> Rewards:
    """The rewards of a step, for its random numbers."""
    from . import rewards

    def accuracy(problems: Sequence[Any], completions: Sequence[str]) -> list[float]:
        pairs = zip(problems, completions, strict=True)
        return [float(task.is_right(problem, text)) for problem, text in pairs]

    known: dict[str, Reward] = {
        "accuracy": accuracy,
        "format": rewards.format,
        "length": rewards.length(task.longest_completion),
    }
    weights = reward_terms(params.reward)
    chosen: dict[str, Reward | None] = {
        name: context.load(name) if ":" in name else known.get(name) for name in weights
    }

    def of_step(random: np.random.Generator) -> Composed:
        made = {name: reward or rewards.random_reward(random) for name, reward in chosen.items()}
        return rewards.Composed(made, weights)

    return of_step


@dataclass(frozen=True)
class HeldOut:
    """The same problems, never trained on, and the same seed at every evaluation and for all variants."""

    task: Task
    problems: Mapping[str, Sequence[Problem]]
    samples: int
    longest: int
    seed: int
    reference: Transformer

    def figures(self, model: Transformer, split: str) -> tuple[dict[str, float], Rollout]:
        from .evaluation import evaluate

        return evaluate(
            model,
            self.task,
            self.problems[split],
            samples=self.samples,
            max_completion_length=self.longest,
            seed=self.seed,
            reference=self.reference,
        )


def _held_out(params: Params, task: Task, seed: int, longest: int, reference: Transformer) -> HeldOut:
    import numpy as np

    random = np.random.default_rng([seed, HELD_OUT])
    test = task.problems(random, params.eval_problems, "test")
    harder = task.problems(random, params.eval_problems, "harder")
    problems = {"test": test, "harder": harder}
    return HeldOut(task, problems, params.eval_samples, longest, seed, reference)


def _evaluated(model: Transformer, held_out: HeldOut, step: int, context: Context) -> dict[str, float]:
    """Record the figures of the test problems, and an answer to the first of the easiest: it is read through training."""
    figures, made = held_out.figures(model, "test")
    context.record(step, **figures)
    i = min(range(len(made.problems)), key=lambda i: made.problems[i].difficulty)
    question, answer = made.problems[i].prompt, made.texts[i].removesuffix("<eos>")
    context.sample(step, f"{question} {answer}  {'right' if made.right[i] else 'wrong'}")
    return figures


def _teller(context: Context) -> Callable[[int, int, str], None]:
    def told(done: int, of: int, answer: str) -> None:
        context.progress(done, of)
        context.sample(0, f"{answer}  (base model, {done} of {of})")

    return told


def _group(batch: Batch, num_generations: int) -> str:
    """One group's rewards becoming advantages."""
    rewards = batch.rewards[:num_generations].tolist()
    advantages = batch.advantages[:num_generations].tolist()
    prompt = batch.made.problems[0].prompt
    return f"{prompt} rewards {' '.join(f'{r:g}' for r in rewards)} -> advantages " + " ".join(
        f"{a:+.1f}" for a in advantages
    )
