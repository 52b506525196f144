"""A model trained once for all lengths, with the best of its checkpoints for each, and kept.

Its key is all that it depends on, the code included; trials at other lengths and arms that change it afterwards read it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..lm.model import Transformer
from ..lm.products import made_by
from ..lm.scoring import Sequences
from ..lm.training import Recipe, train
from ..own_files import digest, is_reference
from ..position import Encoding, Undefined
from ..source_digest import source_digest
from ..trial import Context
from .arms import Arm, config_of, encoding_of
from .evaluation import score
from .params import Params
from .tasks import PAD, Task, Texts

KEPT = "trained.pt"
IN_RANGE = 0.95
"""Answers of a model that is trained enough, at the longest length of training."""
TRAINING, SELECTION, TEST, AFTER = range(4)
"""In the seeds of what is drawn, so that nothing is drawn twice."""
_OF_TEST = {"implementation", "steps", "length", "factor", "turns", "recalibration", "problems", "first_seed"}
"""Parameters that a first training does not depend on."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Figures of a training at a step: the loss, and of each length at which the encoding is defined right and token."""

    step: int
    loss: float
    scored: dict[int, tuple[float, float]]


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        last: its weights. best: for each length those of the checkpoint which answered most of the selection problems, of equal
            ones by tokens, of equal ones the earliest.
        curve: all checkpoints, in order.
        reached: the step by which `IN_RANGE` of the selection problems of the trained length are right, within a fiftieth of all;
            all steps where that is never so.
    """

    last: State
    best: dict[int, State]
    curve: list[Checkpoint]
    reached: int


def trained(arm: Arm, params: Params, task: Task, context: Context) -> Trained:
    """The model of an arm, from the cache or trained now; a second training begins with the last weights of the first.

    Raises NotFinite: a loss is not.
    """
    first = None if arm.then is None else trained(Arm(arm.trained), params, task, context)
    name, steps = (
        arm.then or arm.trained,
        params.steps[params.task] if arm.then is None else params.more_steps,
    )
    content = (
        f"{digest(Path(name.rpartition(':')[0]))}{name.rpartition(':')[1:]}" if is_reference(name) else name
    )
    how = params.model_dump(exclude=_OF_TEST)
    made = [torch.device(context.device).type, *made_by(), source_digest(__name__)]
    key = json.dumps(
        ["length", asdict(arm) | {"trained": content, "tested": None}, steps, how, context.seed, made]
    )

    def write(folder: Path) -> None:
        found = _train(name, steps, first, params, task, context)
        unique = {id(state): state for state in (found.last, *found.best.values())}
        numbers = {key: number for number, key in enumerate(unique)}
        curve = [asdict(checkpoint) for checkpoint in found.curve]
        best = {length: numbers[id(state)] for length, state in found.best.items()}
        torch.save(
            {"states": list(unique.values()), "last": numbers[id(found.last)], "best": best}
            | {"curve": curve, "reached": found.reached},
            folder / KEPT,
        )

    kept: dict[str, Any] = torch.load(context.cached(key, write) / KEPT, weights_only=True)
    best = {length: kept["states"][number] for length, number in kept["best"].items()}
    curve = [Checkpoint(**each) for each in kept["curve"]]
    return Trained(kept["states"][kept["last"]], best, curve, kept["reached"])


def model_with(state: State, encoding: Encoding, params: Params, task: Task) -> Transformer:
    """The model of these weights and this encoding."""
    model = Transformer(config_of(params, task), encoding)
    model.load_state_dict(state)
    return model


def problems(params: Params, task: Task, seed: int, of: int, length: int) -> Texts:
    """Selection or test problems of a length: the same for all arms of a seed."""
    texts = params.selection if of == SELECTION else params.problems
    return task.draw(np.random.default_rng([seed, of, length]), length, texts)


def texts_of_training(random: np.random.Generator, params: Params, task: Task, texts: int) -> Sequences:
    """So many, of 1 to `trained` items, each number as likely."""
    counts = np.bincount(random.integers(1, params.trained + 1, texts), minlength=params.trained + 1)
    ids = np.full((texts, task.tokens(params.trained)), PAD)
    starts, lengths, row = np.empty(texts, np.int64), np.empty(texts, np.int64), 0
    for items in np.flatnonzero(counts):
        drawn, rows = task.draw(random, int(items), int(counts[items])), slice(row, row + counts[items])
        ids[rows, : drawn.ids.shape[1]] = drawn.ids
        starts[rows], lengths[rows] = drawn.start, drawn.ids.shape[1] - drawn.start
        row += counts[items]
    return Sequences(*map(torch.from_numpy, (ids, starts, lengths, np.arange(texts))))


def _train(
    name: str, steps: int, first: Trained | None, params: Params, task: Task, context: Context
) -> Trained:
    seed, part = context.seed, TRAINING if first is None else AFTER
    torch.manual_seed(seed)
    encoding = encoding_of(name, params, task, context.load)
    torch.manual_seed(seed)  # whatever an encoding draws, weights are the same
    model = Transformer(config_of(params, task), encoding)
    if first is not None:
        model.load_state_dict(first.last)
    model.to(context.device)
    data = texts_of_training(np.random.default_rng([seed, part]), params, task, steps * params.batch)
    looks = {round(steps * (number + 1) / params.checkpoints) for number in range(params.checkpoints)} | {
        steps
    }
    watch, every = _Watch(model, params, task, seed), max(1, steps // 50)

    def after_step(step: int, loss: float) -> None:
        if step in looks:
            watch.look(step, loss)
            context.progress(step, steps, name if first is None else f"{name}, after training")
        if step % every == 0:
            watch.look_in_range(step)

    recipe = Recipe(steps, params.batch, params.learning_rate, params.matrix_learning_rate, parts=1)
    train(model, data, recipe, generator=torch.Generator("cpu").manual_seed(seed), after_step=after_step)
    return Trained(watch.last, watch.best, watch.curve, min(watch.reached, steps))


class _Watch:
    """Keeps the best checkpoint for each length while a model is trained."""

    def __init__(self, model: Transformer, params: Params, task: Task, seed: int) -> None:
        self.model, self.in_range = model, params.trained
        self.problems = {
            length: problems(params, task, seed, SELECTION, length) for length in params.judged_at
        }
        self.last: State = {}
        self.best: dict[int, State] = {}
        self.curve: list[Checkpoint] = []
        self.reached = sys.maxsize
        self._best: dict[int, tuple[float, float]] = {}

    def look(self, step: int, loss: float) -> None:
        state = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        scored: dict[int, tuple[float, float]] = {}
        for length, texts in self.problems.items():
            try:
                found = score(self.model, texts)
            except Undefined:
                continue
            scored[length] = found.right, found.token
            if length not in self._best or scored[length] > self._best[length]:
                self._best[length], self.best[length] = scored[length], state
        self.last = state
        self.curve.append(Checkpoint(step, loss, scored))

    def look_in_range(self, step: int) -> None:
        if step < self.reached and score(self.model, self.problems[self.in_range]).right >= IN_RANGE:
            self.reached = step
