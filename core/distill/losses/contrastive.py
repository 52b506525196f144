"""Contrastive representation distillation: pairs of states of one position against pairs of two."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...lm.precision import precise
from .features import projected, unit
from .relations import subsample

TAU = 0.07
"""As in the paper's code."""


@precise
def crd(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    student_projector: Callable[[Tensor], Tensor],
    teacher_projector: Callable[[Tensor], Tensor],
    labels: Tensor | None = None,
    tau: float = TAU,
    points: int = 512,
    generator: torch.Generator | None = None,
) -> Tensor:
    """−log h(i, i) − Σ over j of log(1 − h(i, j)), averaged over positions i of the student's.

    Tian et al., "Contrastive representation distillation" (arXiv:1910.10699): h(i, j) = e^s/(e^s + c) is how likely
    it is that state i of the student and state j of the teacher are of one position, s = ⟨u_i, v_j⟩/τ with u and v
    their projections of length 1. c is the number of negatives j times e^(1/(2·d·τ²)), the mean of e^s over random
    directions in d dimensions; their code measures that mean in its first batch.

    The paper draws 16,384 negatives from a memory of the whole data; here they are the other positions given. Both of
    the paper's directions are then the same sum.

    The loss is small where each state's own partner is by far its nearest: states are learned up to what the
    projectors remove, and only as far as positions differ.

    Args:
        student_projector, teacher_projector: from d_S and d_T to one width; both are trained with the student.
        labels: (batch, tokens), the token that each position predicts: positions of one label are no negatives, as in
            the paper where classes are known. Without labels all other positions are.
        tau: τ, above 0.

    Other arguments and the result are those of `rkd_distance`.
    Raises ValueError: shapes that do not match, τ that is not above 0, points below 2, or a teacher whose
    states are NaN or infinite.
    """
    if not 0 < tau < math.inf:
        raise ValueError(f"tau is {tau:g}; it must be above 0 and finite")
    if labels is not None and labels.shape != student_hidden.shape[:-1]:
        raise ValueError(f"labels have shape {tuple(labels.shape)}, the states {tuple(student_hidden.shape)}")
    s, t, chosen = subsample(student_hidden, teacher_hidden, mask, points, 2, generator)
    u, v = unit(projected(student_projector, s)), unit(projected(teacher_projector, t))
    scores = u @ v.T / tau
    own = torch.eye(len(s), dtype=torch.bool, device=s.device)
    negatives = ~own
    if labels is not None:
        label = (labels.flatten() if mask is None else labels[mask != 0])[chosen]
        negatives = label.unsqueeze(0) != label.unsqueeze(1)
    if not negatives.any():
        return scores.sum() * 0
    log_c = math.log(float(negatives.sum()) / len(s)) + 1 / (2 * u.shape[-1] * tau**2)
    above = scores - log_c  # h is a sigmoid of it
    lost = F.logsigmoid(above[own]).sum() + F.logsigmoid(-above).masked_fill(~negatives, 0).sum()
    return -lost / len(s)
