"""Relation losses: distances, angles and products of positions, in the student and in the teacher.

None needs a projector, since widths may differ. All are 0 where the relations agree, whatever the states themselves:
a change of states that keeps all relations (a rotation, for some losses the scale) is not learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...lm.precision import precise, wide
from .arguments import bool_mask, divisor, first, position_words
from .features import states, unit


@precise
def rkd_distance(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    points: int = 256,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Huber(d_ij/μ of the student − d_ij/μ of the teacher), averaged over pairs i ≠ j.

    Park et al., "Relational Knowledge Distillation" (arXiv:1904.05068); d_ij is a Euclidean distance and μ the
    mean of those that are not 0, so that scale does not matter. They weigh it 25 times, and `rkd_angle` 50 times.

    Minimiser, with a loss of 0: all distances agree up to a common factor.

    Args:
        student_hidden: (batch, tokens, d_S) or (examples, d_S).
        teacher_hidden: (batch, tokens, d_T) or (examples, d_T), constant to the gradient.
        mask: (batch, tokens), true or 1 where a token counts; all of them without one.
        points: the number of positions drawn where more are unmasked, since pairs grow as the square.
        generator: for that draw, on the CPU; torch's own without one.
    Returns: scalar, in float32 unless the states are float64; 0 for fewer than two positions. Distances that
    are all 0 stay 0, without a NaN.
    Raises ValueError: shapes that do not match, points below 2, or a teacher whose states are NaN or infinite.
    """
    s, t, _ = subsample(student_hidden, teacher_hidden, mask, points, 2, generator)
    difference = F.smooth_l1_loss(_distances(s), _distances(t), reduction="none")
    return difference.sum() / max(len(s) * (len(s) - 1), 1)  # the diagonal is 0


@precise
def rkd_angle(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    points: int = 64,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Huber(cos∠ijk of the student − cos∠ijk of the teacher), averaged over triples of different positions.

    Park et al. (arXiv:1904.05068). j is the corner of the angle: cos∠ijk = ⟨e_ij, e_kj⟩, e_ij the unit vector
    from j to i; for two equal states it is 0, and so are their angles.

    Minimiser, with a loss of 0: all angles agree, that is the states up to scale, rotation and translation.

    Arguments, returns and errors are those of `rkd_distance`, with three positions for two and triples for pairs.
    """
    s, t, _ = subsample(student_hidden, teacher_hidden, mask, points, 3, generator)
    difference = F.smooth_l1_loss(_cosines(s), _cosines(t), reduction="none")
    n = len(s)
    different = ~torch.eye(n, dtype=torch.bool, device=s.device)  # i = j or k = j have no angle and are 0
    return (difference * different).sum() / max(n * (n - 1) * (n - 2), 1)


@precise
def similarity(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    points: int = 256,
    generator: torch.Generator | None = None,
) -> Tensor:
    """‖rows of F_S·F_Sᵀ − rows of F_T·F_Tᵀ‖² / B², rows of length 1 and F the B positions' states.

    Tung & Mori, "Similarity-Preserving Knowledge Distillation" (arXiv:1907.09682); there a row of F is an image.

    Minimiser, with a loss of 0: the rows agree. A state of zeros has a row of zeros.

    Arguments, returns and errors are those of `rkd_distance`, with one position for two.
    """
    s, t, _ = subsample(student_hidden, teacher_hidden, mask, points, 1, generator)
    return (unit(s @ s.T) - unit(t @ t.T)).square().sum() / max(len(s) ** 2, 1)


@precise
def minilm_relations(
    student: Tensor | Sequence[Tensor],
    teacher: Tensor | Sequence[Tensor],
    mask: Tensor | None = None,
    *,
    relation_heads: int | None = None,
    causal: bool = False,
    num_items: float | None = None,
) -> Tensor:
    """Σ over Q, K, V of the mean over heads a and positions i of KL(R_T[a, i]‖R_S[a, i]), R = softmax(A·Aᵀ/√d_r).

    Wang et al., MiniLMv2 (arXiv:2012.15828): A is Q, K or V of one layer, its heads put together and split again
    into A_r relation heads of width d_r, so that neither widths nor numbers of heads need agree. The more relation
    heads, the finer the relations (48 and 64 in the paper).

    Masked positions are left out, as rows and as columns. With `causal` so are later positions, as in a causal
    model's attention; the paper's models are bidirectional.

    Minimiser, with a loss of 0: the relations agree, which determines states up to a rotation of each relation head.

    Args:
        student: one tensor or several (queries, keys, values, say), each (batch, heads, tokens, head_dim), or
            (batch, tokens, width), which is one head. Grouped keys and values may have fewer heads.
        teacher: as many, constant to the gradient.
        mask, num_items: as in `forward_kl`.
        relation_heads: A_r; as many as the teacher's tensor has heads unless given.
        causal: position i has relations to j ≤ i only.
    Returns: scalar, in float32 unless the student's are float64; 0 if all is masked.
    Raises ValueError: shapes or numbers of tensors that do not match, a width that relation_heads does not
    divide, or a teacher that is not finite (the message says where).
    """
    students = [student] if isinstance(student, Tensor) else list(student)
    teachers = [teacher] if isinstance(teacher, Tensor) else list(teacher)
    if len(students) != len(teachers) or not students:
        raise ValueError(f"the student has {len(students)} tensors, the teacher {len(teachers)}: one for one")
    total = wide(students[0]).new_zeros(())
    for s, t in zip(students, teachers, strict=True):
        heads = (t.shape[1] if t.dim() == 4 else 1) if relation_heads is None else relation_heads
        s, t = _tokens(s), _tokens(t.detach())
        if s.shape[:2] != t.shape[:2]:
            raise ValueError(
                f"the student has (batch, tokens) {tuple(s.shape[:2])}, the teacher {tuple(t.shape[:2])}"
            )
        mask = bool_mask(mask, s.shape[:2])
        finite = t.isfinite().all(-1)
        bad = first(~finite if mask is None else ~finite & mask)
        if bad is not None:
            raise ValueError(f"the teacher is not finite at {position_words(bad)}")
        log_S, log_T = (_relations(x, heads, mask, causal) for x in (s, t))
        difference = (log_T.exp() * (log_T - log_S)).sum(-1).mean(1)
        if mask is not None:
            difference = difference.masked_fill(~mask, 0)
        total = total + difference.sum() / divisor(mask, s.shape[:2], num_items)
    return total


def subsample(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None,
    points: int,
    fewest: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """At most `points` unmasked positions of both, (positions, width), and which of the unmasked ones they are."""
    if points < fewest:
        raise ValueError(f"points is {points}; {fewest} is the least that have a relation")
    s, t = states(student_hidden, teacher_hidden, mask)
    chosen = torch.arange(len(s), device=s.device)
    if len(s) > points:
        chosen = torch.randperm(len(s), generator=generator, device="cpu")[:points].sort().values.to(s.device)
        s, t = s[chosen], t[chosen]
    return wide(s), t, chosen


def _distances(x: Tensor) -> Tensor:
    """(positions, positions), divided by the mean of those that are not 0."""
    # By differences: x² + y² − 2xy would cancel for near neighbours. The gradient at a distance of 0 is 0.
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    positive = d > 0
    return d / torch.where(positive.any(), d.sum() / positive.sum().clamp(min=1), 1)


def _cosines(x: Tensor) -> Tensor:
    """(corner j, i, k)."""
    e = unit(x.unsqueeze(0) - x.unsqueeze(1))
    return e @ e.mT


def _tokens(x: Tensor) -> Tensor:
    """(batch, heads, tokens, head_dim) → (batch, tokens, width), heads side by side."""
    if x.dim() == 4:
        return x.transpose(1, 2).flatten(2)
    if x.dim() == 3:
        return x
    raise ValueError(
        f"a tensor has shape {tuple(x.shape)}; (batch, heads, tokens, head_dim) or (batch, tokens, width) is needed"
    )


def _relations(x: Tensor, heads: int, mask: Tensor | None, causal: bool) -> Tensor:
    """log-softmax of A·Aᵀ/√d_r, (batch, relation heads, tokens, tokens); about −10³⁰ where there is no relation."""
    batch, tokens, width = x.shape
    if heads < 1 or width % heads:
        raise ValueError(f"a width of {width} cannot be split into {heads} relation heads")
    x = wide(x)
    if mask is not None:
        x = x.masked_fill(~mask.unsqueeze(-1), 0)
    A = x.view(batch, tokens, heads, width // heads).transpose(1, 2)
    scores = A @ A.mT / math.sqrt(width // heads)
    # A finite number, so that a row of nothing but padding is no NaN, whose gradient would be one too.
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -1e30)
    if causal:
        future = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
        scores = scores.masked_fill(future, -1e30)
    return scores.log_softmax(-1)
