"""How far a student of other tokens and its teacher are from held-out text, in bits per byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ...trial import Context
from ..language import Oracle, Truth, evaluate
from ..student import Student
from .teacher_outputs import TeacherModel
from .tokenizers import TokenizedTexts

CURVES = "kl_bits", "calibration_error", "invalid_mass", "excess_bits", "bits"
AT_ONCE = 32
"""Documents that are evaluated at once."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures a student and its teacher on held-out text.

    Attributes:
        teacher: of the student.
        held_out: the text, in the tokens of both.
        truth: of a student of characters, which is measured exactly; None for any other.
        truth_bits: bits per byte of the held-out text under the truth; None where the truth is unknown.
    """

    teacher: TeacherModel
    held_out: TokenizedTexts
    truth: Truth | None
    truth_bits: float | None

    def record(self, student: Student, context: Context) -> None:
        """Record the curves at this step, from a quarter of the held-out text."""
        found = self._figures(student.model, max(1, len(self.held_out.texts) // 4))
        context.record(student.step, **{name: found[name] for name in CURVES if name in found})

    def final(self, student: Student) -> dict[str, float]:
        """The student's figures and its teacher's, on the whole held-out text."""
        found = self._figures(student.model, len(self.held_out.texts))
        bits = bits_per_byte(self.teacher.model, self.held_out, "teacher")
        found["teacher/bits"] = bits
        if self.truth_bits is not None:
            found["teacher/excess_bits"] = bits - self.truth_bits
        return found

    def _figures(self, model: Any, documents: int) -> dict[str, float]:
        if self.truth is not None:
            ids = self.held_out.student_ids[:documents].to(model.embedding.weight.device)
            found = evaluate(self.truth, ids, model, AT_ONCE).measures()
            bits = found["nll_bits"]
            truth_bits = evaluate(self.truth, ids, Oracle(self.truth), AT_ONCE).measures()["nll_bits"]
            return found | {"bits": bits, "excess_bits": bits - truth_bits}
        bits = bits_per_byte(model, self.held_out, "student", documents)
        # The truth's bits for a part of the text are not kept; a curve of bits is enough there.
        whole = self.truth_bits is not None and documents == len(self.held_out.texts)
        return {"bits": bits} | ({"excess_bits": bits - float(self.truth_bits or 0)} if whole else {})


@torch.inference_mode()
def bits_per_byte(model: Any, text: TokenizedTexts, who: str, documents: int | None = None) -> float:
    """−log₂ of a text in a model's own tokens, by the bytes of the text.

    Args:
        who: "student" or "teacher", whose tokens are read.
        documents: the number of documents, from the first on; all without it.
    """
    rows = text.student_ids if who == "student" else text.teacher_ids
    lengths = torch.tensor([len(pair[who == "teacher"].ids) for pair in text.tokens], device="cpu")
    rows, lengths = rows[:documents], lengths[:documents]
    nats = 0.0
    for ids, lasts in zip(torch.split(rows, AT_ONCE), torch.split(lengths, AT_ONCE), strict=True):
        ids = ids.to(model.embedding.weight.device)
        logits = model(ids[:, :-1]).float()
        mask = torch.arange(ids.shape[1] - 1, device="cpu") < lasts[:, None]
        nats += float(F.cross_entropy(logits[mask], ids[:, 1:][mask], reduction="sum"))
    return nats / math.log(2) / sum(len(each.encode()) for each in text.texts[:documents])
