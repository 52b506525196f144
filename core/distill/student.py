"""A student and its training: batches of one text in one order, and the gradient of an objective."""

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


class Objective(Protocol):
    """A text, and a loss on its documents.

    Attributes:
        documents: their number; a batch is some of the indices below it.
        tokens_of_document: the mean number of predicted tokens of a document.
        adds_up: whether the loss of a batch is the mean of its documents' losses.
    """

    @property
    def documents(self) -> int: ...

    @property
    def tokens_of_document(self) -> float: ...

    @property
    def adds_up(self) -> bool: ...

    def modules(self, width: int, draws: torch.Generator) -> Mapping[str, nn.Linear]:
        """The loss's own trainable modules, for a student whose hidden states have this width."""

    def loss(self, student: Student, documents: Tensor) -> Tensor:
        """The loss on the documents of these indices, a scalar."""


class Student:
    """A model, the projectors of its objective, and the state of its training.

    Projectors are trained with the model, but are part of neither its state nor its size. The order of documents
    depends on the seed alone, whatever the objective.

    Attributes:
        seed: of the order and of draws.
        modules: the projectors, by the objective's names.
        draws: the generator for what a loss draws.
    """

    def __init__(self, model: LanguageModel, recipe: Recipe, objective: Objective, seed: int) -> None:
        self.model: Any = model  # a module too, which a protocol cannot say
        self.recipe, self.objective, self.seed, self.step = recipe, objective, seed, 0
        self._random = torch.Generator().manual_seed(seed)  # of order; a loss's own draws have another
        self.draws = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long, device="cpu")
        modules = objective.modules(self.model.embedding.weight.shape[1], self.draws)
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

        Returns: the loss, the weighted sum of all signals.

        Raises:
            NotFinite: the loss is not finite.
            ValueError: the teacher's outputs are no distribution.
        """
        self.step += 1
        if not math.isfinite(value := self.backward(self._next_batch())):
            raise NotFinite(f"the loss is {value} at step {self.step}")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer, highest in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = highest * schedule(self.step, self.recipe.steps, self.recipe.warmup)
        step_all([optimizer for optimizer, _ in self._optimizers])
        return value

    def backward(self, documents: Tensor) -> float:
        """Add the gradient of the loss on these documents, one piece of the batch for each core where pieces add up.

        Returns: the loss.
        """
        if not self.objective.adds_up or cores(self.device) == 1:
            loss = self.objective.loss(self, documents)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        def share(some: Tensor) -> tuple[Tensor, float]:
            loss = self.objective.loss(self, some) * (len(some) / len(documents))
            return loss, float(loss.detach())

        return sum(add_gradients(self.model, documents.chunk(cores(self.device)), share))

    def _next_batch(self) -> Tensor:
        """The indices of the next batch's documents; each document comes once before any comes again."""
        batch = min(self.recipe.batch, self.objective.documents)
        while len(self._order) < batch:
            more = torch.randperm(self.objective.documents, generator=self._random, device="cpu")
            self._order = torch.cat([self._order, more])
        documents, self._order = self._order[:batch], self._order[batch:]
        return documents

    def flops(self) -> float:
        """Floating-point operations of all its steps: forward, and twice as many backward, projectors included."""
        per_token = flops_per_token(self.model)
        per_token += 2 * sum(p.numel() for p in self.modules.parameters() if p.dim() == 2)
        batch = min(self.recipe.batch, self.objective.documents)
        flops: float = 3 * per_token * self.recipe.steps * batch * self.objective.tokens_of_document
        return flops

    def state(self) -> dict[str, Any]:
        """The state that `restore` continues from, bit for bit."""
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
        """Continue from a state of `state`."""
        self.step, self._order = state["step"], state["order"]
        self.model.load_state_dict(state["model"])
        self.modules.load_state_dict(state["modules"])
        for (optimizer, _), saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._random.set_state(state["random"])
        self.draws.set_state(state["draws"])


def flops_per_token(model: Any) -> float:
    """Operations of a forward pass for one token, without attention's own products: two for each number in a matrix."""
    matrices = {id(p): p.numel() for p in model.parameters() if p.dim() == 2}
    embedding = model.embedding.weight
    # An embedding that is the head too is looked up once and multiplied once.
    tied = any(p is embedding for p in head_of(model).parameters())
    multiplied: int = sum(matrices.values()) - (0 if tied else embedding.numel())
    return 2.0 * multiplied


def head_of(model: Any) -> nn.Linear:
    """The layer that makes logits of hidden states, of our model or of one of transformers."""
    made: nn.Linear = model.head if hasattr(model, "head") else model.inner.get_output_embeddings()
    return made
