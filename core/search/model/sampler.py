"""What answers: `grpo`'s base model, which has then learnt to slip.

`grpo`'s base model is right in nearly all steps of its traces: a search has nothing to do there but to begin one. And where
wrong steps are rare and at random, the likeliest answer is right. So it goes on with demonstrations that all think, and that
are wrong in two ways: in any step now and then, and in some pairs of operands, its habits, more often than not, always in the
same way. How many of these a problem meets is how hard it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from ...grpo.base_model import load_base_model, make_base_model
from ...grpo.params import base_model_of, task_key
from ...grpo.start import start
from ...grpo.tasks import Mixture, Problem, Task
from ...grpo.tasks.chain import Chain, Structure, structure_of, trace
from ...grpo.tasks.demonstration import CLOSE, OPEN
from ...lm.language_model import LanguageModel
from ...lm.model import Transformer
from ...lm.training import Recipe
from ...own_files import digest
from ...source_digest import source_digest
from ...trial import Context
from .params import Params


def base(params: Params, task: Task, context: Context) -> tuple[LanguageModel, Task, str]:
    """The base model, the task in its tokens, and a key for what is made of it. A pretrained model is taken as it is.

    Raises NoBaseModel: none is inside the window.
    """
    begun, seed, words = start(params, task, context), context.seed, task_key(params, task)
    if params.model is not None:
        return begun.model, begun.task, json.dumps([digest(params.model.hf), words, seed])
    first = base_model_of(params, task)
    if not params.slip_steps:
        return begun.model, task, first.key(words, seed)
    assert isinstance(begun.model, Transformer)
    spec = replace(
        first,
        mixture=replace(first.mixture, long=1.0, noise=params.slip_noise),
        recipe=Recipe(params.slip_steps, params.base_batch, parts=first.recipe.parts),
        demonstrations=params.slip_steps * params.base_batch,
        window=(0.0, 1.0),
        first=first,
    )
    kind, on_cpu = structure_of(params.structure, params.operators or "+"), begun.model.to("cpu")
    slipping = Slips(task, kind, params.slip_noise, habits(kind, params.habits, seed), params.habit)
    shown = replace(task, demonstrations=slipping.demonstrations)
    own = [params.habits, params.habit, source_digest(__name__)]
    key = json.dumps(["slips", spec.key(words, seed), *own])
    folder = context.cached(
        key,
        lambda folder: make_base_model(
            folder, spec, shown, seed, lambda done, of, _: context.progress(done, of, "slips"), on_cpu
        ),
    )
    model, _ = load_base_model(folder)
    return model.to(context.device), task, key


def habits(kind: Structure, share: float, seed: int) -> np.ndarray:
    """(operators, elements, elements), for this share of all pairs of operands whether a step of them is a habit."""
    shape = len(kind.tables), len(kind.elements), len(kind.elements)
    chosen = np.zeros(int(np.prod(shape)), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(chosen))[: round(share * len(chosen))]] = True
    return chosen.reshape(shape)


@dataclass(frozen=True)
class Slips:
    """Demonstrations that all think, with wrong steps.

    Attributes:
        noise: the chance that a step is wrong by any amount.
        habits: of `habits`.
        habit: the chance that a step of such a pair comes to the next element in place of its own.
    """

    task: Task
    kind: Structure
    noise: float
    habits: np.ndarray
    habit: float

    def demonstrations(
        self, rng: np.random.Generator, count: int, mixture: Mixture
    ) -> list[tuple[Problem, str]]:
        """As many problems of "base", each with an answer; see `Task.demonstrations`."""
        made = []
        for problem in self.task.problems(rng, count, "base"):
            parts = self.parts(problem)
            text, answer = trace(self.kind, parts, self.wrong(rng, parts), rng.random() < mixture.leaps)
            how = int(rng.integers(1, 3)) if rng.random() < mixture.slips else 0
            made.append((problem, f"{OPEN[how]}{text}{CLOSE[how]}<answer>{answer}</answer><eos>"))
        return made

    def parts(self, problem: Problem) -> Chain:
        """What a problem is made of."""
        text, number = problem.prompt.removesuffix("="), self.kind.elements.index
        return Chain(number(text[0]), list(text[1::2]), [number(each) for each in text[2::2]])

    def wrong(self, rng: np.random.Generator, parts: Chain) -> list[int]:
        """By how much each step is wrong."""
        value, found, m = parts.first, [], len(self.kind.elements)
        names = list(self.kind.tables)
        for op, y in zip(parts.operators, parts.operands, strict=True):
            if self.habits[names.index(op), value, y]:
                by = int(rng.random() < self.habit)
            else:
                by = int(rng.integers(1, m)) if rng.random() < self.noise else 0
            found.append(by)
            value = (self.kind.tables[op][value][y] + by) % m
        return found
