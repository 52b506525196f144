"""GOLD: tokens that both vocabularies have are compared by name, the others by their sorted probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from .alignment import Alignment
from .divergence import jsd, scaled
from .ranks import sorted_distance
from .spans import merged, over_tokens, span_mask
from .units import masked_teacher, mean
from .vocabularies import Shared


def gold(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alignment: Alignment,
    shared: Shared,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    merge: str = "bayesian",
    beta: float = 0.5,
    weights: tuple[float, float] | None = None,
    num_items: float | None = None,
) -> Tensor:
    """a·JSD_β(p_shared‖q_shared) + b·Σ |sort p_rest − sort q_rest| of each span's merged vectors; mean over spans.

    General on-policy logit distillation (Patiño et al., "Unlocking on-policy distillation for any model family",
    2025; TRL, `GOLDTrainer`). The shared parts are scaled to sum to 1, which takes the product of a merge out of
    them; unscaled, as in TRL, their "divergence" falls below 0, and its minimiser gives the shared tokens the wrong
    mass. The rests keep their scale, and their mass is compared.

    Minimisers: q in proportion to p on the shared tokens, with the rest's probabilities in any order. Known bias: a
    perfect student of other tokens gives the shared ones other probabilities (its "t" stands for more texts than the
    teacher's); and in spans that are cut differently, entries of the same name are different events (`merged`).

    Args:
        student_logits, teacher_logits, alignment, mask, num_items: as in `uld`, of spans.
        shared: the tokens that both vocabularies have.
        temperature: of all distributions. No T².
        merge: "bayesian" or "observed".
        beta: of the divergence; 0 is KL(p‖q) and 1 is KL(q‖p) (`jsd`).
        weights: a and b; the share of the teacher's tokens that are shared and the share that are not, unless given.
    Raises ValueError: no shared tokens, or one that a side does not have; shapes that do not match; an
    unknown merge, T ≤ 0, β outside of [0, 1], a negative weight, or NaN in the teacher.
    """
    sizes = student_logits.shape[-1], teacher_logits.shape[-1]
    _check_shared(shared, sizes)
    a, b = weights or (len(shared.teacher) / sizes[1], 1 - len(shared.teacher) / sizes[1])
    if min(a, b) < 0:
        raise ValueError(f"weights are {a:g} and {b:g}; neither may be below 0")
    mask = span_mask(alignment, mask)
    teacher_logits = masked_teacher(over_tokens(teacher_logits, alignment.teacher, "teacher_logits"), None)
    q = merged(student_logits, alignment.student, merge, temperature)
    p = merged(teacher_logits, alignment.teacher, merge, temperature)
    names_q, names_p = shared.student.to(q.device), shared.teacher.to(p.device)
    of_teacher, of_student = scaled(p[..., names_p]), scaled(q[..., names_q])
    # Where the teacher gives the shared tokens no mass there is no proportion to learn.
    by_name = jsd(of_teacher, of_student, beta).masked_fill((of_teacher == -torch.inf).all(-1), 0)
    by_rank = sorted_distance(p[..., _rest(names_p, sizes[1])].exp(), q[..., _rest(names_q, sizes[0])].exp())
    return mean(a * by_name + b * by_rank, mask, num_items)


def _rest(names: Tensor, size: int) -> Tensor:
    return torch.ones(size, dtype=torch.bool, device=names.device).scatter(0, names, False)


def _check_shared(shared: Shared, sizes: tuple[int, int]) -> None:
    if not len(shared.teacher):
        raise ValueError("the vocabularies share no token: uld compares without names")
    for side, ids, size in zip(("student", "teacher"), (shared.student, shared.teacher), sizes, strict=True):
        if int(ids.max()) >= size:
            raise ValueError(
                f"a shared token has the id {int(ids.max())}, but the {side}'s logits have {size} entries"
            )
