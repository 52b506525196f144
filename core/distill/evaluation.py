"""A student's training with evaluations in between: its distance from the truth by then, and text that it writes."""

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
SAMPLE_CHARACTERS = 120
"""Characters of a student's text that are shown."""
FINAL_SAMPLES = 64
"""Documents that a student writes in the end."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures a student on held-out text.

    Attributes:
        truth: in the student's tokens.
        held_out: (documents, columns), `<eos>` first; no model is trained on them.
    """

    truth: Truth
    held_out: Tensor

    def record(self, student: Student, context: Context) -> None:
        """Record the curves at this step, from a quarter of the documents, and one text that the student writes."""
        quarter = self.held_out[: max(1, len(self.held_out) // 4)].to(student.device)
        measures = evaluate(self.truth, quarter, student.model).measures()
        context.record(student.step, **{name: measures[name] for name in CURVES})
        [text] = self._samples(student, 1)
        context.sample(student.step, text[:SAMPLE_CHARACTERS])

    def final(self, student: Student) -> dict[str, float]:
        """`Figures.measures`; and `invalid_words`, the share of the words in its samples that the language lacks."""
        measures = evaluate(self.truth, self.held_out.to(student.device), student.model).measures()
        wrong, words = invalid_words(self.truth.language, self._samples(student, FINAL_SAMPLES))
        return measures | {"invalid_words": wrong / words if words else 0.0}

    def _samples(self, student: Student, count: int) -> list[str]:
        view = self.truth.view
        completions = generate(
            student.model,
            [[view.eos]] * count,
            max_new_tokens=self.held_out.shape[1] - 1,
            eos=view.eos,
            pad=view.pad,
            generator=torch.Generator(student.device).manual_seed(student.seed),
        )
        return [view.decode(row, keep_eos=False) for row in completions.ids.tolist()]


class Evaluator(Protocol):
    """Measures a student while it trains."""

    def record(self, student: Student, context: Context) -> None: ...


def train_student(student: Student, evaluator: Evaluator, every: int, context: Context) -> None:
    """Train a student from where it is to its last step, with an evaluation every `every` steps.

    Raises:
        NotFinite: a loss is not finite.
        ValueError: the teacher's outputs are no distribution.
    """
    steps = student.recipe.steps
    losses: list[float] = []
    if (state := context.restore()) is not None:
        student.restore(state)
        losses = state["losses"]
    else:
        evaluator.record(student, context)
    while student.step < steps:
        losses.append(student.learn())
        context.progress(student.step, steps)
        if student.step % every == 0 or student.step == steps:
            context.record(student.step, loss=sum(losses) / len(losses))
            losses = []
            evaluator.record(student, context)
            context.save(student.state() | {"losses": losses})
