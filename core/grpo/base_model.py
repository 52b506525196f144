"""A base model that mostly answers at once: trained from scratch on demonstrations, and taken only inside a window.

Reward can only choose among what a model already does. A base that is never right gives no signal, one that is always
right leaves no room, so before any reward is spent a base is sampled, and another one is trained where it falls outside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..lm.language_model import LanguageModel
from ..lm.model import Config, Transformer, restored
from ..lm.training import Recipe, examples, train
from ..source_digest import source_digest
from .evaluation import evaluate
from .rollout import rollout
from .tasks import Mixture, Problem, Task

MODEL, FACTS = "model.pt", "facts.json"
PROBLEMS, SAMPLES = 128, 4
"""A base is judged by so many samples of so many held-out problems: ±0.04 around 0.25."""


class NoBaseModel(Exception):
    """No model inside the window; the message says what was seen, and what to change."""


@dataclass(frozen=True)
class Base:
    """How a base model is made.

    Attributes:
        window: the least and the largest share of right samples with which a base is taken.
        attempts: so many are trained before it is given up.
    """

    model: Config
    mixture: Mixture
    recipe: Recipe
    demonstrations: int
    window: tuple[float, float]
    attempts: int = 4

    def key(self, task: str, seed: int) -> str:
        """What makes this base, in full, the code included: `task` says which one and with which knobs."""
        made_by = [torch.__version__, torch.get_num_threads(), source_digest(__name__)]
        return json.dumps(["base", task, seed, asdict(self), *made_by], sort_keys=True)


Told = Callable[[int, int, str], None]
"""(steps done, of, how a question is answered by then)"""
LOOKS = 10
"""So often an answer is sampled while a base is trained."""


def make_base_model(folder: Path, base: Base, task: Task, seed: int, told: Told) -> None:
    """Train a base and write it to `folder`, with what was seen of it.

    Where all attempts fall outside the window, that is written instead: `load_base_model` then says so to every variant of
    this seed, and none searches again.
    """
    seen: list[float] = []
    for attempt in range(base.attempts):
        model = _trained(base, task, seed * base.attempts + attempt, told)
        problems = task.problems(np.random.default_rng([seed, attempt]), PROBLEMS, "test")
        figures, _ = evaluate(
            model, task, problems, samples=SAMPLES, max_completion_length=task.longest_completion, seed=seed
        )
        seen.append(figures["eval/pass@1"])
        if base.window[0] <= seen[-1] <= base.window[1]:
            torch.save(model.state(), folder / MODEL)
            (folder / FACTS).write_text(json.dumps({"rejected": attempt, "seen": seen, "figures": figures}))
            return
    (folder / FACTS).write_text(json.dumps({"refused": _advice(seen, base), "seen": seen}))


def load_base_model(folder: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model, and its facts: how many were rejected before it, and its figures.

    Raises:
        NoBaseModel: there was none.
    """
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    if "refused" in facts:
        raise NoBaseModel(facts["refused"])
    return restored(torch.load(folder / MODEL, weights_only=True)), facts


def _trained(base: Base, task: Task, seed: int, told: Told) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(base.model)
    random = np.random.default_rng(seed)
    encode = task.vocabulary.encode
    shown = task.demonstrations(random, base.demonstrations, base.mixture)
    data = examples([(encode(problem.prompt), encode(text)) for problem, text in shown], task.vocabulary.pad)
    steps, every = base.recipe.steps, max(1, base.recipe.steps // LOOKS)
    question = task.problems(np.random.default_rng(0), 1, "test")

    def after_step(step: int, loss: float) -> None:
        if step % every == 0:
            told(step, steps, _answered(model, task, question, seed))

    train(model, data, base.recipe, generator=torch.Generator().manual_seed(seed), after_step=after_step)
    return model


def _answered(model: LanguageModel, task: Task, question: Sequence[Problem], seed: int) -> str:
    made = rollout(
        model,
        task,
        question,
        num_generations=1,
        max_completion_length=task.longest_completion,
        temperature=1.0,
        generator=torch.Generator().manual_seed(seed),
    )
    return f"{question[0].prompt} {made.texts[0].removesuffix('<eos>')}"


def _advice(seen: list[float], base: Base) -> str:
    low, high = base.window
    if max(seen) < low:
        what = "No signal to reinforce: train longer (base_steps), or show more thinking (long)"
    elif min(seen) > high:
        what = "No headroom: show less thinking (long), or choose a harder task"
    else:
        what = "Widen the window, or train more of them (attempts)"
    return f"{outside(seen, base.window)}. {what}"


def outside(seen: Sequence[float], window: tuple[float, float]) -> str:
    """Which shares were right, and which would have been taken."""
    shares = ", ".join(f"{share:.2f}" for share in seen)
    return f"right when sampled: {shares}; the window is {window[0]:g} to {window[1]:g}"
