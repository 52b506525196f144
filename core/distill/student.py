"""A student and its training: batches of one text in one order, and the loss of what it is taught by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..lm.model import Config, Transformer
from ..lm.not_finite import NotFinite
from ..lm.training import Recipe, adamw, optimizers_of, schedule
from .cache import Outputs
from .losses import (
    feature,
    forward_kl,
    hard_data,
    linear_projector,
    random_sampling,
    rkd_angle,
    rkd_distance,
    similarity,
    top_k,
)

RKD_DISTANCE, RKD_ANGLE = 25.0, 50.0
"""The weights of Park et al. (arXiv:1904.05068), §4."""


@dataclass(frozen=True)
class Lesson:
    """The text, and what a teacher told of it. Tokens are counted through: document · (columns − 1) + position.

    Attributes:
        ids: (documents, columns); each token but the last of a row tells the next one.
        weights: of the signals, by name.
        outputs: of the teacher, by the signal that reads them.
        states: (tokens, d_T), the teacher's last states; None where nothing reads them.
        rest: of `top_k`.
    """

    ids: Tensor
    weights: Mapping[str, float]
    outputs: Mapping[str, Outputs]
    states: np.ndarray | None
    temperature: float = 1.0
    rest: str = "renormalise"


class Learner:
    """A model, the projectors that a loss of states needs, and all that training goes on from; whose loss, others say.

    Projectors are trained with the model and are no part of it: not of its state, not of its size. Order depends on the
    seed alone, whatever the signal.
    """

    def __init__(
        self, model: Any, recipe: Recipe, documents: int, seed: int, projector: nn.Module | None = None
    ) -> None:
        self.model, self.recipe, self.documents, self.step = model, recipe, documents, 0
        self._random = torch.Generator().manual_seed(seed)  # of order; a signal's own draws have another
        self._draws = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)
        if isinstance(model, Transformer):
            self._optimizers = optimizers_of(model, recipe)
        else:
            self._optimizers = [(adamw(model.parameters(), recipe.lr), recipe.lr)]
        self.projector: Any = None
        if projector is not None:
            self._project(projector)

    def _project(self, projector: nn.Module) -> None:
        self.projector = projector
        self._optimizers.append((adamw(projector.parameters(), self.recipe.lr), self.recipe.lr))

    def loss(self, rows: Tensor) -> Tensor:
        """Of these documents, a scalar."""
        raise NotImplementedError

    def learn(self) -> float:
        """One step on the next batch.

        Returns:
            The loss, the weighted sum of all signals.

        Raises:
            NotFinite: it is not.
            ValueError: the teacher's outputs are no distribution.
        """
        self.step += 1
        rows = self._next_rows()
        loss = self.loss(rows)
        if not math.isfinite(value := float(loss.detach())):
            raise NotFinite(f"the loss is {value} at step {self.step}")
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer, highest in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = highest * schedule(self.step, self.recipe.steps, self.recipe.warmup)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return value

    def _next_rows(self) -> Tensor:
        """Documents of the next batch; every document comes once before any comes again."""
        batch = min(self.recipe.batch, self.documents)
        while len(self._order) < batch:
            more = torch.randperm(self.documents, generator=self._random)
            self._order = torch.cat([self._order, more])
        rows, self._order = self._order[:batch], self._order[batch:]
        return rows

    def state(self) -> dict[str, Any]:
        """What `restore` goes on from, to the same bits."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "projector": None if self.projector is None else self.projector.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            "random": self._random.get_state(),
            "draws": self._draws.get_state(),
            "order": self._order,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.step, self._order = state["step"], state["order"]
        self.model.load_state_dict(state["model"])
        if self.projector is not None:
            self.projector.load_state_dict(state["projector"])
        for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._random.set_state(state["random"])
        self._draws.set_state(state["draws"])


class Student(Learner):
    """A student of the teacher's own tokens. Weights and order depend on the seed alone, whatever the signal."""

    def __init__(self, config: Config, recipe: Recipe, lesson: Lesson, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        super().__init__(Transformer(config).to(device), recipe, len(lesson.ids), seed)
        self.lesson = lesson
        if "feature" in lesson.weights and lesson.states is not None:
            wide = lesson.states.shape[1]
            self._project(linear_projector(config.d_model, wide, generator=self._draws).to(device))

    def loss(self, rows: Tensor) -> Tensor:
        """The weighted sum of all signals on these documents, a scalar."""
        device = self.model.embedding.weight.device
        ids = self.lesson.ids[rows].to(device)
        hidden = self.model.hidden(ids[:, :-1])
        logits = self.model.logits(hidden)
        told = rows[:, None] * (ids.shape[1] - 1) + torch.arange(ids.shape[1] - 1)
        terms = (
            weight * self._signal(name, hidden, logits, ids[:, 1:], told)
            for name, weight in self.lesson.weights.items()
        )
        return torch.stack(list(terms)).sum()

    def _signal(self, name: str, hidden: Tensor, logits: Tensor, labels: Tensor, told: Tensor) -> Tensor:
        lesson, device = self.lesson, logits.device
        T = lesson.temperature
        if name == "data":
            return hard_data(logits, labels)
        if name in lesson.outputs:
            output: Any = lesson.outputs[name].read(told)
            output = _on(output, device)
            if name == "soft":
                return forward_kl(logits, output, temperature=T)
            if name in ("draw", "sampled"):
                return random_sampling(logits, output, temperature=T)
            rest = lesson.rest if name == "top-k" else "renormalise"
            return top_k(logits, output, temperature=T, rest=rest, labels=labels if rest == "truth" else None)
        assert lesson.states is not None
        states = torch.from_numpy(lesson.states[told.numpy()]).float().to(device)
        if name == "feature":
            return feature(hidden, states, projector=self.projector)
        if name == "similarity":
            return similarity(hidden, states, generator=self._draws)
        distance = rkd_distance(hidden, states, generator=self._draws)
        angle = rkd_angle(hidden, states, generator=self._draws)
        return RKD_DISTANCE * distance + RKD_ANGLE * angle

    def flops(self) -> float:
        """Of all its steps: forward and twice as much backward for each token, the projector's too."""
        per_token = self.model.flops_per_token()
        if self.projector is not None:
            per_token += 2 * self.projector.weight.numel()
        batch = min(self.recipe.batch, len(self.lesson.ids))
        return 3.0 * float(per_token) * self.recipe.steps * batch * (self.lesson.ids.shape[1] - 1)


def _on(output: Any, device: torch.device) -> Any:
    """A teacher's output on another device; logits in float32."""
    if isinstance(output, Tensor):
        return output.to(device, torch.float32)
    from dataclasses import fields, replace

    moved = {
        f.name: getattr(output, f.name).to(device)
        for f in fields(output)
        if f.name not in ("vocabulary", "temperature")
    }
    return replace(output, **moved)
