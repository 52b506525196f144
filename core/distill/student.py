"""A student and its training: batches of one text in one order, and the loss of what it is taught by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..lm.gradients import add_gradients
from ..lm.language_model import LanguageModel
from ..lm.model import Transformer
from ..lm.not_finite import NotFinite
from ..lm.parallel import cores
from ..lm.training import Recipe, adamw, optimizers_of, schedule, step_all


class Lesson(Protocol):
    """What is taught, and by which loss.

    Attributes:
        documents: how many there are; a batch is some of their numbers.
        tokens_of_document: that are told, on average.
        adds_up: whether the loss of a batch is the mean of its documents' losses.
    """

    @property
    def documents(self) -> int: ...

    @property
    def tokens_of_document(self) -> float: ...

    @property
    def adds_up(self) -> bool: ...

    def modules(self, width: int, draws: torch.Generator) -> Mapping[str, nn.Linear]:
        """What the loss has of its own to train, for a student whose states are so wide."""

    def loss(self, student: Student, rows: Tensor) -> Tensor:
        """Of these documents, a scalar."""


class Student:
    """A model, the projectors that its lesson needs, and all that training goes on from.

    Projectors are trained with the model and are no part of it: not of its state, not of its size. Order depends on the
    seed alone, whatever the lesson.

    Attributes:
        seed: of order and of draws.
        modules: the projectors, by the lesson's names.
        draws: for what a loss draws.
    """

    def __init__(self, model: LanguageModel, recipe: Recipe, lesson: Lesson, seed: int) -> None:
        self.model: Any = model  # a module too, which a protocol cannot say
        self.recipe, self.lesson, self.seed, self.step = recipe, lesson, seed, 0
        self._random = torch.Generator().manual_seed(seed)  # of order; a loss's own draws have another
        self.draws = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long, device="cpu")
        modules = lesson.modules(self.model.embedding.weight.shape[1], self.draws)
        self.modules = nn.ModuleDict(modules).to(self.device)
        if isinstance(model, Transformer):
            self._optimizers = optimizers_of(model, recipe)
        else:
            self._optimizers = [(adamw(self.model.parameters(), recipe.lr), recipe.lr)]
        if len(self.modules):
            self._optimizers.append((adamw(self.modules.parameters(), recipe.lr), recipe.lr))

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.embedding.weight.device
        return device

    @property
    def parameter_count(self) -> int:
        """Of the model, without projectors."""
        return sum(p.numel() for p in self.model.parameters())

    def learn(self) -> float:
        """One step on the next batch.

        Returns:
            The loss, the weighted sum of all signals.

        Raises:
            NotFinite: it is not.
            ValueError: the teacher's outputs are no distribution.
        """
        self.step += 1
        if not math.isfinite(value := self.backward(self._next_rows())):
            raise NotFinite(f"the loss is {value} at step {self.step}")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer, highest in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = highest * schedule(self.step, self.recipe.steps, self.recipe.warmup)
        step_all([optimizer for optimizer, _ in self._optimizers])
        return value

    def backward(self, rows: Tensor) -> float:
        """Add the gradient of the loss on these documents, in as many pieces as there are cores where pieces add up.

        Returns:
            The loss.
        """
        if not self.lesson.adds_up or cores(self.device) == 1:
            loss = self.lesson.loss(self, rows)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        def share(some: Tensor) -> tuple[Tensor, float]:
            loss = self.lesson.loss(self, some) * (len(some) / len(rows))
            return loss, float(loss.detach())

        return sum(add_gradients(self.model, rows.chunk(cores(self.device)), share))

    def _next_rows(self) -> Tensor:
        """Documents of the next batch; every document comes once before any comes again."""
        batch = min(self.recipe.batch, self.lesson.documents)
        while len(self._order) < batch:
            more = torch.randperm(self.lesson.documents, generator=self._random, device="cpu")
            self._order = torch.cat([self._order, more])
        rows, self._order = self._order[:batch], self._order[batch:]
        return rows

    def flops(self) -> float:
        """Of all its steps: forward and twice as much backward for each token, the projectors' too."""
        per_token = operations(self.model)
        per_token += 2 * sum(p.numel() for p in self.modules.parameters() if p.dim() == 2)
        batch = min(self.recipe.batch, self.lesson.documents)
        flops: float = 3 * per_token * self.recipe.steps * batch * self.lesson.tokens_of_document
        return flops

    def state(self) -> dict[str, Any]:
        """What `restore` goes on from, to the same bits."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "modules": self.modules.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            "random": self._random.get_state(),
            "draws": self.draws.get_state(),
            "order": self._order,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.step, self._order = state["step"], state["order"]
        self.model.load_state_dict(state["model"])
        self.modules.load_state_dict(state["modules"])
        for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._random.set_state(state["random"])
        self.draws.set_state(state["draws"])


def operations(model: Any) -> float:
    """Of a forward pass for one token, without attention's own products: two for each number in a matrix."""
    matrices = {id(p): p.numel() for p in model.parameters() if p.dim() == 2}
    looked_up = model.embedding.weight
    # An embedding that is the head too is looked up once and multiplied once.
    tied = any(p is looked_up for p in head_of(model).parameters())
    multiplied: int = sum(matrices.values()) - (0 if tied else looked_up.numel())
    return 2.0 * multiplied


def head_of(model: Any) -> nn.Linear:
    """What makes logits of states, of our model or of one of transformers."""
    made: nn.Linear = model.head if hasattr(model, "head") else model.inner.get_output_embeddings()
    return made
