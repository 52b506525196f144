"""The objective of a student of other tokens: the text, the teacher's outputs on it, and the loss of each signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..losses import hard_data, linear_projector
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
from ..output_file import Outputs
from ..student import Student, head_of
from .signals import STATES
from .tokenizers import TokenizedTexts, select


@dataclass(frozen=True, eq=False)
class Objective:
    """The text, and a teacher's outputs on it.

    Attributes:
        ids: (documents, 1 + tokens), the student's tokens.
        mask: (documents, tokens), true where there is a token to predict.
        weights: of the signals, by name; `data` is the text of `ids`, the teacher's own for `teacher-text`.
        text: in both models' tokens.
        teacher: the model, whose embeddings and head `dskd-cma` reads.
        outputs, states: of the teacher at its tokens; None where no signal reads them.
        targets: of the marginals, by name, at the student's tokens.
    """

    ids: Tensor
    mask: Tensor
    weights: Mapping[str, float]
    text: TokenizedTexts
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

    @property
    def documents(self) -> int:
        return len(self.ids)

    @property
    def tokens_of_document(self) -> float:
        return float(self.mask.sum()) / self.documents

    @property
    def adds_up(self) -> bool:
        """False: documents have different numbers of tokens."""
        return False

    def modules(self, width: int, draws: torch.Generator) -> dict[str, nn.Linear]:
        """Projectors between the widths of both models' states."""
        if self.states is None:
            return {}
        teacher_width = self.states.shape[1]
        widths = {"states": (width, teacher_width)} if "hidden-states" in self.weights else {}
        if "dskd-cma" in self.weights:
            widths |= {
                "query": (2 * width, 2 * teacher_width),
                "to_student": (teacher_width, width),
                "to_teacher": (width, teacher_width),
            }
        return {name: linear_projector(*pair, generator=draws) for name, pair in widths.items()}

    def loss(self, student: Student, documents: Tensor) -> Tensor:
        """The weighted sum of all signals on these documents, a scalar."""
        mask = self.mask[documents]
        longest = int(mask.sum(1).max())  # what is only padding in all of them costs nothing
        ids = self.ids[documents, : longest + 1].to(student.device)
        mask = mask[:, :longest].to(student.device)
        student_states = student.model.hidden(ids[:, :-1])
        logits = student.model.logits(student_states)
        terms = []
        for name, weight in self.weights.items():
            if name == "data":
                loss = hard_data(logits, ids[:, 1:], mask)
            elif name in ("marginal", "exact-marginal"):
                targets = self._targets(name, documents, longest).to(student.device)
                loss = soft_targets(logits, targets, mask)
            else:
                loss = self._signal(name, student, documents, ids, student_states, logits, mask)
            terms.append(weight * loss)
        return torch.stack(terms).sum()

    def _targets(self, name: str, documents: Tensor, longest: int) -> Tensor:
        assert self.targets is not None
        width = self.ids.shape[1] - 1
        found = self.targets[name].read(documents[:, None] * width + torch.arange(longest, device="cpu"))
        assert isinstance(found, Tensor)  # full outputs are a tensor
        return found.float()

    def _signal(
        self,
        name: str,
        student: Student,
        documents: Tensor,
        ids: Tensor,
        student_states: Tensor,
        logits: Tensor,
        mask: Tensor,
    ) -> Tensor:
        text, device = self.text, logits.device
        spans = text.word_spans if name == "alm-words" else text.spans
        alignment = cut_to(select(spans, documents), ids.shape[1] - 1).to(device)
        length = text.teacher_ids.shape[1] - 1
        rows = documents[:, None] * length + torch.arange(length, device="cpu")
        if name in STATES:
            assert self.states is not None
            states = torch.from_numpy(self.states[rows.numpy()]).float().to(device)
            if name == "hidden-states":
                return hidden_states(student_states, states, alignment, student.modules["states"])
        assert self.outputs is not None
        output: Any = self.outputs.read(rows)
        output = output.to(device, torch.float32)
        if name in self.mappings:
            return mapped_kl(logits, output, self.mappings[name].to(device), alignment=alignment)
        if name == "uld":
            return uld(logits, output, alignment=alignment)
        if name.startswith("gold"):
            names = Shared(self.shared.student.to(device), self.shared.teacher.to(device))
            return gold(logits, output, alignment, names, merge=name.removeprefix("gold-"))
        if name.startswith("alm"):
            return alm(logits, output, alignment)
        return dskd_cma(
            logits,
            output,
            _view(student.model, ids, student_states, mask),
            _view(self.teacher, text.teacher_ids[documents].to(device), states, alignment.teacher.mask),
            query=student.modules["query"],
            to_student=student.modules["to_student"],
            to_teacher=student.modules["to_teacher"],
        )


def cut_to(alignment: Alignment, tokens: int) -> Alignment:
    """The alignment without the student's padding behind this many tokens."""
    side = alignment.student
    student = type(side)(
        side.ids[:, :tokens], side.mask[:, :tokens], side.span[:, :tokens], side.start, side.stop
    )
    return Alignment(student, alignment.teacher, alignment.end, alignment.mask)


def _view(model: Any, ids: Tensor, hidden: Tensor, mask: Tensor) -> View:
    with torch.no_grad():
        embedded = model.embedding(ids)
    return View(ids[:, 1:], mask, hidden, embedded[:, :-1], embedded[:, 1:], head_of(model).weight)
