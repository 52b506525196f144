"""A student's training from one examination to the next: how far it is from the truth by then, and what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..lm.generation import generate
from ..trial import Context
from .language import Truth, evaluate, invalid_words
from .student import Student

CURVES = "kl", "kl_bits", "calibration_error", "invalid_mass"
SHOWN = 120
"""Characters of a student's text that are shown."""
WRITTEN = 64
"""Documents that a student writes in the end."""


@dataclass(frozen=True, eq=False)
class Examination:
    """On text that no one is trained on.

    Attributes:
        truth: in the student's tokens.
        held_out: (documents, columns), `<eos>` first.
    """

    truth: Truth
    held_out: Tensor

    def point(self, student: Student, context: Context) -> None:
        """A point of the curves, from a quarter of the documents, and what the student writes by then."""
        few = self.held_out[: max(1, len(self.held_out) // 4)].to(student.device)
        measures = evaluate(self.truth, few, student.model).measures()
        context.record(student.step, **{name: measures[name] for name in CURVES})
        [text] = self._written(student, 1)
        context.sample(student.step, text[:SHOWN])

    def whole(self, student: Student) -> dict[str, float]:
        """`Figures.measures`; and `invalid_words`, the share of words in what it writes that the language lacks."""
        measures = evaluate(self.truth, self.held_out.to(student.device), student.model).measures()
        wrong, words = invalid_words(self.truth.language, self._written(student, WRITTEN))
        return measures | {"invalid_words": wrong / words if words else 0.0}

    def _written(self, student: Student, texts: int) -> list[str]:
        view = self.truth.view
        made = generate(
            student.model,
            [[view.eos]] * texts,
            max_new_tokens=self.held_out.shape[1] - 1,
            eos=view.eos,
            pad=view.pad,
            generator=torch.Generator(student.device).manual_seed(student.seed),
        )
        return [view.decode(row, keep_eos=False) for row in made.ids.tolist()]


class Examiner(Protocol):
    """Who tells how far a student is."""

    def point(self, student: Student, context: Context) -> None: ...


def teach(student: Student, examination: Examiner, every: int, context: Context) -> None:
    """All steps of a student, or those that are left of them, with an examination each so many.

    Raises:
        NotFinite: a loss is not.
        ValueError: the teacher's outputs are no distribution.
    """
    steps = student.recipe.steps
    losses: list[float] = []
    if (state := context.restore()) is not None:
        student.restore(state)
        losses = state["losses"]
    else:
        examination.point(student, context)
    while student.step < steps:
        losses.append(student.learn())
        context.progress(student.step, steps)
        if student.step % every == 0 or student.step == steps:
            context.record(student.step, loss=sum(losses) / len(losses))
            losses = []
            examination.point(student, context)
            context.save(student.state() | {"losses": losses})
