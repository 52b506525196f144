"""A student and its training: batches of one text in one order, and the loss of what it is taught by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..lm.gradients import add_gradients
from ..lm.model import Config, Transformer
from ..lm.not_finite import NotFinite
from ..lm.parallel import cores
from ..lm.training import Recipe, adamw, optimizers_of, schedule, step_all
from .cache import Outputs
from .inside import attention_maps, looked_into, queries_keys_values
from .losses import (
    attention_transfer,
    feature,
    forward_kl,
    hard_data,
    linear_projector,
    minilm_relations,
    random_sampling,
    rkd_angle,
    rkd_distance,
    similarity,
    top_k,
)
from .signals import HEADS, STATES

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
        heads: (tokens, heads + 2 · kv_heads, head_dim), the teacher's last queries, keys and values; the same.
        teacher: its shape.
        rest: of `top_k`.
    """

    ids: Tensor
    weights: Mapping[str, float]
    outputs: Mapping[str, Outputs]
    states: np.ndarray | None
    heads: np.ndarray | None
    teacher: Config
    temperature: float = 1.0
    rest: str = "renormalise"


class Student:
    """A model, the projector that a feature loss needs, and all that training goes on from.

    The projector is trained with the model and is no part of it: not of its state, not of its size. Weights and order
    depend on the seed alone, whatever the signal.
    """

    def __init__(self, config: Config, recipe: Recipe, lesson: Lesson, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self.model = Transformer(config).to(device)
        self.recipe, self.lesson, self.step = recipe, lesson, 0
        self._random = torch.Generator().manual_seed(seed)  # of order; a signal's own draws have another
        self._draws = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)
        self.projector: nn.Linear | None = None
        self._optimizers = optimizers_of(self.model, recipe)
        if "feature" in lesson.weights and lesson.states is not None:
            wide = lesson.states.shape[1]
            self.projector = linear_projector(config.d_model, wide, generator=self._draws).to(device)
            self._optimizers.append((adamw(self.projector.parameters(), recipe.lr), recipe.lr))

    def learn(self) -> float:
        """One step on the next batch.

        Returns:
            The loss, the weighted sum of all signals.

        Raises:
            NotFinite: it is not.
            ValueError: the teacher's outputs are no distribution.
        """
        self.step += 1
        if not math.isfinite(value := self._backward(self._next_rows())):
            raise NotFinite(f"the loss is {value} at step {self.step}")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer, highest in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = highest * schedule(self.step, self.recipe.steps, self.recipe.warmup)
        step_all([optimizer for optimizer, _ in self._optimizers])
        return value

    def _backward(self, rows: Tensor) -> float:
        """Add the gradient of the loss on these documents, and tell the loss.

        What is a mean over tokens is computed in as many pieces as there are cores. Relations between tokens are not.
        """
        device = self.model.embedding.weight.device
        if not self._token_by_token or cores(device) == 1:
            loss = self.loss(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        def share(some: Tensor) -> tuple[Tensor, float]:
            loss = self.loss(some) * (len(some) / len(rows))
            return loss, float(loss.detach())

        return sum(add_gradients(self.model, rows.chunk(cores(device)), share))

    @property
    def _token_by_token(self) -> bool:
        return not self.lesson.weights.keys() & {*STATES, *HEADS}

    def loss(self, rows: Tensor) -> Tensor:
        """The weighted sum of all signals on these documents, a scalar."""
        device = self.model.embedding.weight.device
        ids = self.lesson.ids[rows].to(device)
        hidden, qkv = self._inside(ids[:, :-1])
        logits = self.model.logits(hidden)
        told = rows[:, None] * (ids.shape[1] - 1) + torch.arange(ids.shape[1] - 1)

        def signal(name: str) -> Tensor:
            if name in HEADS:
                assert qkv is not None  # a signal of heads is not told token by token
                return self._of_heads(name, qkv, told)
            if name in STATES:
                return self._of_states(name, hidden, told)
            return self._of_tokens(name, logits, ids[:, 1:], told)

        return torch.stack([weight * signal(name) for name, weight in self.lesson.weights.items()]).sum()

    def _inside(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """States, and what `looked_into` finds beside them, where a signal asks for it."""
        return (self.model.hidden(ids), None) if self._token_by_token else looked_into(self.model, ids)

    def _of_tokens(self, name: str, logits: Tensor, labels: Tensor, told: Tensor) -> Tensor:
        if name == "data":
            return hard_data(logits, labels)
        lesson, T = self.lesson, self.lesson.temperature
        output: Any = _on(lesson.outputs[name].read(told), logits.device)
        if name == "soft":
            return forward_kl(logits, output, temperature=T)
        if name in ("draw", "sampled"):
            return random_sampling(logits, output, temperature=T)
        rest = lesson.rest if name == "top-k" else "renormalise"
        return top_k(logits, output, temperature=T, rest=rest, labels=labels if rest == "truth" else None)

    def _of_states(self, name: str, hidden: Tensor, told: Tensor) -> Tensor:
        states = _at(self.lesson.states, told, hidden)
        if name == "feature":
            return feature(hidden, states, projector=self.projector)
        if name == "similarity":
            return similarity(hidden, states, generator=self._draws)
        distance = rkd_distance(hidden, states, generator=self._draws)
        angle = rkd_angle(hidden, states, generator=self._draws)
        return RKD_DISTANCE * distance + RKD_ANGLE * angle

    def _of_heads(self, name: str, qkv: Tensor, told: Tensor) -> Tensor:
        ours, theirs = self.model.config, self.lesson.teacher
        of_teacher = _at(self.lesson.heads, told, qkv)
        if name == "attention":
            match = "match" if ours.heads == theirs.heads else "mean"
            maps = attention_maps(qkv, ours), attention_maps(of_teacher, theirs)
            return attention_transfer(*maps, kind="kl", heads=match)
        parts = queries_keys_values(qkv, ours), queries_keys_values(of_teacher, theirs)
        return minilm_relations(*parts, relation_heads=ours.heads, causal=True)

    def _next_rows(self) -> Tensor:
        """Documents of the next batch; every document comes once before any comes again."""
        batch = min(self.recipe.batch, len(self.lesson.ids))
        while len(self._order) < batch:
            more = torch.randperm(len(self.lesson.ids), generator=self._random)
            self._order = torch.cat([self._order, more])
        rows, self._order = self._order[:batch], self._order[batch:]
        return rows

    def flops(self) -> float:
        """Of all its steps: forward and twice as much backward for each token, the projector's too."""
        per_token = self.model.flops_per_token()
        if self.projector is not None:
            per_token += 2 * self.projector.weight.numel()
        batch = min(self.recipe.batch, len(self.lesson.ids))
        return 3.0 * per_token * self.recipe.steps * batch * (self.lesson.ids.shape[1] - 1)

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


def _at(rows: np.ndarray | None, told: Tensor, like: Tensor) -> Tensor:
    """Rows of a teacher's file for these tokens, in float32, where `like` is."""
    assert rows is not None, "the lesson has them where a signal reads them"
    return torch.from_numpy(rows[told.numpy()]).float().to(like.device)


def _on(output: Any, device: torch.device) -> Any:
    """A teacher's output on another device; logits stay as they are, a loss widens a slab of them at a time."""
    if isinstance(output, Tensor):
        return output.to(device)
    from dataclasses import fields, replace

    moved = {
        f.name: getattr(output, f.name).to(device)
        for f in fields(output)
        if f.name not in ("vocabulary", "temperature")
    }
    return replace(output, **moved)
