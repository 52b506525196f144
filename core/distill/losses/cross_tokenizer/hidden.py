"""Hidden states at positions where both sides have read the same bytes."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ....lm.precision import precise, wide
from ..features import projected
from .alignment import Alignment
from .spans import at_starts, span_mask
from .units import masked, masked_teacher, mean

MEASURES = ("squares", "cosine")


@precise
def hidden_states(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    alignment: Alignment,
    projector: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
    *,
    measure: str = "squares",
    power: float | None = None,
    num_items: float | None = None,
) -> Tensor:
    """‖P h_S − h_T‖² / (d·mean h_T²), or 1 − cos(P h_S, h_T), at the first token of each span; mean over spans.

    The states from which that token is predicted: both sides have then read the same bytes, and no logits are needed.
    FitNets' hint (arXiv:1412.6550) at aligned positions, scaled as tokenkit does it: divided by the teacher's power, or
    late layers would weigh most.

    Minimiser: P h_S = h_T where the student's width allows. Known bias: the teacher's state also depends on how the
    bytes were cut. Positions inside a span have no target, and equal states need not give equal logits.

    Args:
        student_hidden, teacher_hidden: (batch, tokens of each, d_S or d_T), at the positions of the logits.
        alignment, mask, num_items: as in `uld`, of spans.
        projector: P, a module from d_S to d_T. It is the caller's: in the optimiser, but in neither the student's
            checkpoint nor its number of parameters. An all-zero P gives the student no gradient at first.
        measure: "squares" or "cosine".
        power: mean h_T² over the whole batch, where this is a piece of it; without effect on the cosine.
    Raises ValueError: shapes that do not match, an unknown measure, or NaN in the teacher.
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}; known: {', '.join(MEASURES)}")
    mask = span_mask(alignment, mask)
    h_S = masked(at_starts(student_hidden, alignment.student, "student_hidden"), mask, "student_hidden")
    h_T = masked_teacher(
        at_starts(teacher_hidden, alignment.teacher, "teacher_hidden"), mask, "teacher_hidden"
    )
    h_S = h_S if projector is None else wide(projected(projector, h_S))
    if h_S.shape != h_T.shape:
        raise ValueError(
            f"the student's states have {h_S.shape[-1]} values and the teacher's {h_T.shape[-1]}: a projector has to "
            "make the one of the other"
        )
    if measure == "cosine":
        return mean(1 - F.cosine_similarity(h_S, h_T, dim=-1), mask, num_items)
    scale = mean(h_T.square().mean(-1), mask, None) if power is None else power
    return mean((h_S - h_T).square().mean(-1), mask, num_items) / scale
