"""A base model: trained from scratch on demonstrations, and accepted only if its accuracy is inside a window.

Reward only makes some of a model's answers more frequent. A base model that is never right gives no signal, one that is
always right leaves nothing to learn. So its accuracy is measured before GRPO begins, and another one is trained where it
is outside the window.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..lm.language_model import LanguageModel
from ..lm.model import Config, Transformer, restored
from ..lm.products import made_by
from ..lm.scoring import Sequences
from ..lm.training import Recipe, examples, train
from ..source_digest import source_digest
from .evaluation import evaluate
from .rollout import rollout
from .tasks import Mixture, Problem, Task

MODEL, FACTS = "model.pt", "facts.json"
PROBLEMS, SAMPLES = 128, 4
"""Held-out problems, and samples of each, that measure the accuracy of a base model: ±0.04 at 0.25."""


class NoBaseModel(Exception):
    """No model is inside the window; the message gives the accuracies, and what to change."""


@dataclass(frozen=True)
class BaseModelSpec:
    """How a base model is made.

    Attributes:
        demonstrations: how many are drawn to train on.
        window: the least and the largest share of right samples of an accepted base model.
        attempts: the number of models trained before `NoBaseModel`.
        first: the model whose training this one goes on with; None for a new one.
    """

    model: Config
    mixture: Mixture
    recipe: Recipe
    demonstrations: int
    window: tuple[float, float]
    attempts: int = 4
    first: BaseModelSpec | None = None

    def key(self, task: str, seed: int) -> str:
        """The cache key: everything that the base model depends on, code included. `task` is `params.task_key`."""
        made = [*made_by(), source_digest(__name__)]
        return json.dumps(["base", task, seed, asdict(self), *made], sort_keys=True)


OnProgress = Callable[[int, int, str | None], None]
"""(steps done, steps in all, now and then a question with an answer sampled by then)"""
REPORTS, ANSWERS = 100, 10
"""The number of calls of `OnProgress` during a training, and of those with an answer."""


def make_base_model(
    folder: Path,
    spec: BaseModelSpec,
    task: Task,
    seed: int,
    on_progress: OnProgress,
    first: Transformer | None = None,
) -> None:
    """Train a base model, from the weights of `first` where there is one, and write it and its metrics to `folder`.

    If all attempts are outside the window, that is written instead: `load_base_model` then raises for every variant of
    this seed, and no variant trains again.
    """
    accuracies: list[float] = []
    for attempt in range(spec.attempts):
        model = _train_base_model(spec, task, seed * spec.attempts + attempt, on_progress, first)
        problems = task.problems(np.random.default_rng([seed, attempt]), PROBLEMS, "test")
        metrics, _ = evaluate(
            model, task, problems, samples=SAMPLES, max_completion_length=task.longest_completion, seed=seed
        )
        accuracies.append(metrics["eval/pass@1"])
        if spec.window[0] <= accuracies[-1] <= spec.window[1]:
            torch.save(model.state(), folder / MODEL)
            (folder / FACTS).write_text(
                json.dumps({"rejected": attempt, "accuracies": accuracies, "metrics": metrics})
            )
            return
    (folder / FACTS).write_text(json.dumps({"refused": _advice(accuracies, spec), "accuracies": accuracies}))


def load_base_model(folder: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model, and its facts: `rejected`, the number of models rejected before it, and `metrics`.

    Raises NoBaseModel: no attempt was inside the window.
    """
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    if "refused" in facts:
        raise NoBaseModel(facts["refused"])
    return restored(torch.load(folder / MODEL, weights_only=True)), facts


def encoded(demonstrations: Sequence[tuple[Problem, str]], task: Task) -> Sequences:
    """Prompts and completions of demonstrations in the tokens of a task."""
    encode = task.vocabulary.encode
    pairs = [(encode(problem.prompt), encode(text)) for problem, text in demonstrations]
    return examples(pairs, task.vocabulary.pad)


def _train_base_model(
    spec: BaseModelSpec, task: Task, seed: int, on_progress: OnProgress, first: Transformer | None
) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(spec.model) if first is None else copy.deepcopy(first)
    random = np.random.default_rng(seed)
    data = encoded(task.demonstrations(random, spec.demonstrations, spec.mixture), task)
    steps = spec.recipe.steps
    every, answer_every = (max(1, steps // count) for count in (REPORTS, ANSWERS))
    question = task.problems(np.random.default_rng(0), 1, "test")

    def after_step(step: int, loss: float) -> None:
        if step % answer_every == 0:
            on_progress(step, steps, _sampled_answer(model, task, question, seed))
        elif step % every == 0:
            on_progress(step, steps, None)

    train(model, data, spec.recipe, generator=torch.Generator().manual_seed(seed), after_step=after_step)
    return model


def _sampled_answer(model: LanguageModel, task: Task, question: Sequence[Problem], seed: int) -> str:
    sampled = rollout(
        model,
        task,
        question,
        num_generations=1,
        max_completion_length=task.longest_completion,
        temperature=1.0,
        generator=torch.Generator().manual_seed(seed),
    )
    return f"{question[0].prompt} {sampled.texts[0].removesuffix('<eos>')}"


def _advice(accuracies: list[float], spec: BaseModelSpec) -> str:
    low, high = spec.window
    if max(accuracies) < low:
        what = "No signal to reinforce: train longer (base_steps, first_steps), or show more thinking (long, first_long)"
    elif min(accuracies) > high:
        what = "No headroom: show less thinking (long), or choose a harder task"
    else:
        what = "Widen the window, or train more of them (attempts)"
    return f"{outside_window(accuracies, spec.window)}. {what}"


def outside_window(accuracies: Sequence[float], window: tuple[float, float]) -> str:
    """The text that compares accuracies with the window."""
    shares = ", ".join(f"{share:.2f}" for share in accuracies)
    return f"right when sampled: {shares}; the window is {window[0]:g} to {window[1]:g}"
