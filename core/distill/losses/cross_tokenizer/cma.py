"""Dual-space distillation with cross-model attention (DSKD-CMA): student's tokens attend to the teacher's states."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ....lm.precision import precise
from .divergence import kl
from .units import masked, masked_teacher, mean, positive


@dataclass(frozen=True)
class View:
    """A model's tensors at its tokens, beside logits. Index t is that of token t and of the state that predicts it.

    Attributes:
        ids: (batch, tokens).
        mask: (batch, tokens), true or 1 where a token counts.
        hidden: (batch, tokens, d), the state from which token t is predicted.
        inputs: (batch, tokens, d), the embedding of token t − 1.
        targets: (batch, tokens, d), the embedding of token t.
        head: (V, d), the weights that make logits of states.
    """

    ids: Tensor
    mask: Tensor
    hidden: Tensor
    inputs: Tensor
    targets: Tensor
    head: Tensor


@precise
def dskd_cma(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student: View,
    teacher: View,
    *,
    query: Callable[[Tensor], Tensor],
    to_student: Callable[[Tensor], Tensor],
    to_teacher: Callable[[Tensor], Tensor],
    temperature: float = 1.0,
) -> Tensor:
    """Cross-entropy and T²·KL in the student's space, from the teacher's states, and T²·KL in the teacher's space.

    Zhang et al., "Dual-space knowledge distillation for large language models" (arXiv:2406.17328), as in their code.
    With [x; y] the embeddings of a token and of the next, A = query([x_S; y_S]) · [x_T; y_T]ᵀ / √(2·d_T):

        in the student's space: softmax(A) · to_student(h_T + y_T), through the student's head: logits that learn the
            student's own tokens, and teach the student where their first choice is that token;
        in the teacher's space: softmax(Aᵀ) · to_teacher(h_S), through the teacher's head, learns the teacher's logits.

    Embeddings and the teacher's states are divided by their standard deviation over the batch, so that the loss of a
    batch is not the sum of its pieces' losses. Each term is a mean over the unmasked tokens of its space; where the
    first choice is wrong the second term counts as 0.

    Minimiser: where the first two terms are least the gathered logits name the text's own token for certain, since
    query and value contain it (y): the student then learns the text, not a distribution. What keeps them from that
    is the projectors' size alone; the known bias of this loss. Nothing in it aligns bytes.

    Args:
        student_logits: (batch, student's tokens, V_s).
        teacher_logits: (batch, teacher's tokens, V_t).
        student, teacher: the rest of what both make of the same texts. The heads and embeddings are constant here.
        query: 2·d_S to 2·d_T; to_student: d_T to d_S; to_teacher: d_S to d_T. Modules of the caller's, to be trained.
        temperature: T.
    Raises ValueError: shapes that do not match, T ≤ 0, or NaN in the teacher.
    """
    positive(temperature=temperature)
    mask_S, mask_T = student.mask.bool(), teacher.mask.bool()
    q_S = masked(student_logits, mask_S, "student_logits")
    p_T = masked_teacher(teacher_logits, mask_T)
    h_S = masked(student.hidden, mask_S, "student.hidden")
    h_T = _scaled(masked_teacher(teacher.hidden, mask_T, "teacher.hidden"), mask_T)
    y_T = masked_teacher(teacher.targets, mask_T, "teacher.targets")
    index_S = masked(torch.cat([student.inputs, student.targets], -1).detach(), mask_S, "student.inputs")
    index_T = torch.cat([masked_teacher(teacher.inputs, mask_T, "teacher.inputs"), y_T], -1)

    A = query(index_S) @ _scaled(index_T, mask_T).transpose(1, 2) / math.sqrt(2 * teacher.hidden.shape[-1])
    # Weights are 0 in padding; −∞ would make NaN of a row that is all padding.
    A = A.masked_fill(~(mask_S.unsqueeze(2) & mask_T.unsqueeze(1)), torch.finfo(A.dtype).min)

    gathered = A.softmax(2) @ to_student(h_T + _scaled(y_T, mask_T)) @ student.head.detach().to(A.dtype).T
    learns = F.cross_entropy(gathered.transpose(1, 2), student.ids.masked_fill(~mask_S, 0), reduction="none")
    p_S = gathered.detach()
    right = p_S.argmax(-1) == student.ids
    T = temperature
    teaches = kl((p_S / T).log_softmax(-1), (q_S / T).log_softmax(-1)) * right

    carried = A.transpose(1, 2).softmax(2) @ to_teacher(h_S) @ teacher.head.detach().to(A.dtype).T
    follows = kl((p_T / T).log_softmax(-1), (carried / T).log_softmax(-1))
    return mean(learns + T**2 * teaches, mask_S, None) + T**2 * mean(follows, mask_T, None)


def _scaled(x: Tensor, mask: Tensor) -> Tensor:
    """Divided by the standard deviation of all unmasked values."""
    return x / x[mask].std()
