"""Universal logit distillation: two distributions by their sorted probabilities, whatever they are over."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .alignment import Alignment
from .spans import common_units
from .units import masked, masked_teacher, mean, positive


def uld(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    alignment: Alignment | None = None,
    num_items: float | None = None,
) -> Tensor:
    """Σ |sort p − sort q| with the shorter vocabulary filled up with zeros; mean over unmasked units, between 0 and 2.

    Boizard et al., "Towards cross-tokenizer distillation: the universal logit distillation loss for LLMs"
    (arXiv:2402.12030): the Wasserstein distance where all tokens are equally far apart. No T².

    Minimisers: every q that has p's probabilities in some order, V! of them, whichever token has which. Known bias: a
    perfect student of other tokens has other probabilities, so its loss is not 0 and the gradient leads away; and the
    original pairs positions by their index, so that after the first token that is cut differently it compares
    predictions of different bytes. With an alignment it compares positions where both have read the same bytes.

    Args:
        student_logits: (batch, units, V_s), or (batch, student's tokens, V_s) with an alignment.
        teacher_logits: (batch, units, V_t), or (batch, teacher's tokens, V_t) with an alignment.
        mask: (batch, units), true or 1 where a unit counts; units are spans where there is an alignment.
        temperature: of both distributions.
        alignment: compare at the first tokens of its spans.
        num_items: units of the whole batch, where this is a piece of it.
    Raises ValueError: shapes that do not match, T ≤ 0, or NaN in the teacher.
    """
    positive(temperature=temperature)
    student_logits, teacher_logits, mask = common_units(student_logits, teacher_logits, mask, alignment)
    q = (masked(student_logits, mask, "student_logits") / temperature).softmax(-1)
    p = (masked_teacher(teacher_logits, mask) / temperature).softmax(-1)
    return mean(sorted_distance(p, q), mask, num_items)


def sorted_distance(p: Tensor, q: Tensor) -> Tensor:
    """Σ |sort p − sort q| over the last axis; the shorter one has zeros for what it lacks."""
    width = max(p.shape[-1], q.shape[-1])
    p, q = (F.pad(x.sort(-1, descending=True).values, (0, width - x.shape[-1])) for x in (p, q))
    return (p - q).abs().sum(-1)
