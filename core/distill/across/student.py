"""A student of other tokens than its teacher's: the loss of each signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...lm.training import Recipe
from ..cache import Outputs
from ..losses import linear_projector
from ..losses.cross_tokenizer import (
    Alignment,
    Shared,
    View,
    alm,
    dskd_cma,
    exact_string,
    gold,
    hidden_states,
    mapped_kl,
    min_ed,
    shared,
    soft_targets,
    uld,
)
from ..student import Learner
from .names import OF_STATES
from .sides import Both, some
from .told import operations


@dataclass(frozen=True, eq=False)
class Lesson:
    """The text, and what a teacher told of it.

    Attributes:
        ids: (documents, 1 + tokens) of the student's.
        mask: (documents, tokens), whether there is a token to be told.
        weights: of the signals, by name; `data` is the text of `ids`, whoever wrote it.
        text: in both models' tokens.
        teacher: the model, whose embeddings and head one signal reads.
        outputs, states: of the teacher at its tokens; None where nothing reads them.
        targets: of the marginals, by name, at the student's tokens.
    """

    ids: Tensor
    mask: Tensor
    weights: Mapping[str, float]
    text: Both
    teacher: Any = None
    outputs: Outputs | None = None
    states: np.ndarray | None = None
    targets: Mapping[str, Outputs] | None = None

    @cached_property
    def shared(self) -> Shared:
        return shared(self.text.student.pieces, self.text.teacher.pieces)

    @cached_property
    def mappings(self) -> dict[str, Tensor]:
        pieces = self.text.student.pieces, self.text.teacher.pieces
        known = {"exact-string": exact_string, "min-ed": min_ed}
        return {name: known[name](*pieces) for name in known if name in self.weights}


class Student(Learner):
    """A model taught by a lesson."""

    def __init__(self, model: Any, recipe: Recipe, lesson: Lesson, seed: int) -> None:
        super().__init__(model, recipe, len(lesson.ids), seed)
        self.lesson = lesson
        narrow = model.embedding.weight.shape[1]
        made: dict[str, nn.Module] = {}
        if lesson.states is not None:
            wide = lesson.states.shape[1]
            if "hidden-states" in lesson.weights:
                made["states"] = linear_projector(narrow, wide, generator=self._draws)
            if "dskd-cma" in lesson.weights:
                made["query"] = linear_projector(2 * narrow, 2 * wide, generator=self._draws)
                made["to_student"] = linear_projector(wide, narrow, generator=self._draws)
                made["to_teacher"] = linear_projector(narrow, wide, generator=self._draws)
        if made:
            self._project(nn.ModuleDict(made).to(model.embedding.weight.device))

    def loss(self, rows: Tensor) -> Tensor:
        """The weighted sum of all signals on these documents, a scalar."""
        lesson, device = self.lesson, self.model.embedding.weight.device
        mask = lesson.mask[rows]
        longest = int(mask.sum(1).max())  # what is only padding in all of them costs nothing
        ids = lesson.ids[rows, : longest + 1].to(device)
        mask = mask[:, :longest].to(device)
        hidden = self.model.hidden(ids[:, :-1])
        logits = self.model.logits(hidden)
        terms = []
        for name, weight in lesson.weights.items():
            if name == "data":
                told = F.cross_entropy(logits[mask], ids[:, 1:][mask])
            elif name in ("marginal", "exact-marginal"):
                told = soft_targets(logits, self._targets(name, rows, longest).to(device), mask)
            else:
                told = self._signal(name, rows, ids, hidden, logits, mask)
            terms.append(weight * told)
        return torch.stack(terms).sum()

    def _targets(self, name: str, rows: Tensor, longest: int) -> Tensor:
        assert self.lesson.targets is not None
        width = self.lesson.ids.shape[1] - 1
        found = self.lesson.targets[name].read(rows[:, None] * width + torch.arange(longest))
        assert isinstance(found, Tensor)  # which is what full ones are
        return found.float()

    def _signal(
        self, name: str, rows: Tensor, ids: Tensor, hidden: Tensor, logits: Tensor, mask: Tensor
    ) -> Tensor:
        lesson, text, device = self.lesson, self.lesson.text, logits.device
        alignment = cut_to(
            some(text.word_spans if name == "alm-words" else text.spans, rows), ids.shape[1] - 1
        )
        alignment = alignment.to(device)
        length = text.teacher_ids.shape[1] - 1
        told = rows[:, None] * length + torch.arange(length)
        if name in OF_STATES:
            assert lesson.states is not None
            states = torch.from_numpy(lesson.states[told.numpy()]).float().to(device)
            if name == "hidden-states":
                return hidden_states(hidden, states, alignment, self.projector["states"])
        assert lesson.outputs is not None
        output: Any = lesson.outputs.read(told)
        output = output.to(device, torch.float32)
        if name in lesson.mappings:
            return mapped_kl(logits, output, lesson.mappings[name].to(device), alignment=alignment)
        if name == "uld":
            return uld(logits, output, alignment=alignment)
        if name.startswith("gold"):
            names = Shared(lesson.shared.student.to(device), lesson.shared.teacher.to(device))
            return gold(logits, output, alignment, names, merge=name.removeprefix("gold-"))
        if name.startswith("alm"):
            return alm(logits, output, alignment)
        teacher_ids = text.teacher_ids[rows].to(device)
        seen = alignment.teacher.mask
        project = self.projector
        return dskd_cma(
            logits,
            output,
            _view(self.model, ids, hidden, mask),
            _view(lesson.teacher, teacher_ids, states, seen),
            query=project["query"],
            to_student=project["to_student"],
            to_teacher=project["to_teacher"],
        )

    def flops(self) -> float:
        """Of all its steps: forward and twice as much backward for each token, the projectors' too; no padding."""
        per_token = operations(self.model)
        if self.projector is not None:
            per_token += 2 * sum(p.numel() for p in self.projector.parameters() if p.dim() == 2)
        batch = min(self.recipe.batch, self.documents)
        told = float(self.lesson.mask.sum()) / self.documents
        return 3.0 * per_token * self.recipe.steps * batch * told


def cut_to(alignment: Alignment, tokens: int) -> Alignment:
    """Without the student's padding behind so many tokens."""
    side = alignment.student
    student = type(side)(
        side.ids[:, :tokens], side.mask[:, :tokens], side.span[:, :tokens], side.start, side.stop
    )
    return Alignment(student, alignment.teacher, alignment.end, alignment.mask)


def _view(model: Any, ids: Tensor, hidden: Tensor, mask: Tensor) -> View:
    with torch.no_grad():
        embedded = model.embedding(ids)
    head = model.head if hasattr(model, "head") else model.inner.get_output_embeddings()
    return View(ids[:, 1:], mask, hidden, embedded[:, :-1], embedded[:, 1:], head.weight)
