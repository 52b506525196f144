"""All sequences of a tiny language, and the mean and the variance of a gradient over them.

Student q and teacher p are tables of logits, (V + 1, V): a row for each last token, and the last one for the start. With
r_t = log q(y_t) − log p(y_t), g_t = ∇ log q(y_t) and D_t = KL(q‖p) of the next token, all after the prefix y_<t, a sequence
of T tokens gives, divided by T:

    full            Σ_t ∇D_t              what `reverse_kl` computes
    token           Σ_t r_t·g_t           what `sampled_token` computes
    token-baseline  Σ_t (r_t − D_t)·g_t   Oh et al., vOPD (arXiv:2605.07865): D_t is the mean of r_t
    return          Σ_t R_t·g_t           with R_t = Σ_s≥t γ^(s−t)·r_s; γ = 0 is "token"

E over y ~ q of r_t·g_t is that of ∇D_t: the first three have one mean. The gradient of KL(q‖p) of whole sequences,
E Σ_t ∇D_t + E Σ_t (Σ_s>t r_s)·g_t, is that of "return" with γ = 1. Its second term says how a token changes what comes
after it; the others lack it, and it is their bias (Fu et al., arXiv:2603.25562, §2.1: eq. 2 is "token", eq. 3 "return").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...losses import reverse_kl
from ..losses import sampled_token

Estimator = Literal["full", "token", "token-baseline", "return"]


@dataclass(frozen=True)
class Comparison:
    """The gradient that one sampled sequence gives, beside ∇ that of KL(q‖p) of whole sequences.

    Attributes:
        bias: ‖mean − ∇‖ / ‖∇‖.
        cosine: of the mean and ∇.
        variance: the mean of ‖gradient − mean‖², over ‖∇‖².
        from_full: ‖mean − that of "full"‖ / ‖∇‖.
    """

    bias: float
    cosine: float
    variance: float
    from_full: float


def compare(
    estimator: Estimator, student: Tensor, teacher: Tensor, length: int, discount: float = 1.0
) -> Comparison:
    """Compare exactly, by listing V^length sequences.

    Args:
        student, teacher: (V + 1, V) logits. discount: γ, of "return".
    """
    exact = sequence_kl_gradient(student, teacher, length)
    chances, found = gradients(estimator, student, teacher, length, discount)
    full = torch.tensordot(*gradients("full", student, teacher, length), 1)
    mean, size = torch.tensordot(chances, found, 1), float(exact.norm())
    return Comparison(
        bias=_rounded((mean - exact).norm() / size),
        cosine=_rounded(F.cosine_similarity(mean.flatten(), exact.flatten(), 0)),
        variance=_rounded((chances * (found - mean).square().sum((1, 2))).sum() / size**2),
        from_full=_rounded((mean - full).norm() / size),
    )


def sequence_kl_gradient(student: Tensor, teacher: Tensor, length: int) -> Tensor:
    """(V + 1, V): ∇ of Σ over sequences of q·(log q − log p), divided by the length."""
    before, y = _sequences(student, length)
    student = student.detach().requires_grad_()
    log_q, log_p = (_of_tokens(table, before, y).sum(1) for table in (student, teacher))
    (found,) = torch.autograd.grad((log_q.exp() * (log_q - log_p)).sum() / length, student)
    return found


def gradients(
    estimator: Estimator, student: Tensor, teacher: Tensor, length: int, discount: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The probabilities of all sequences, (sequences,), and the gradient that each gives, (sequences, V + 1, V)."""
    before, y = _sequences(student, length)
    logits, known = (table.detach()[before].flatten(0, 1) for table in (student, teacher))
    logits.requires_grad_()
    if estimator == "full":
        loss = reverse_kl(logits, known, num_items=length)
    elif estimator == "token":
        loss = sampled_token(logits, known, y.flatten(), num_items=length)
    else:
        log_q = logits.log_softmax(-1).view(*y.shape, -1)
        log_p = known.log_softmax(-1).view_as(log_q)
        of_y = log_q.gather(-1, y[..., None]).squeeze(-1)
        r = of_y.detach() - log_p.gather(-1, y[..., None]).squeeze(-1)
        weights = (
            r - (log_q.exp() * (log_q - log_p)).sum(-1)
            if estimator == "token-baseline"
            else _returns(r, discount)
        )
        loss = (weights.detach() * of_y).sum() / length
    (slopes,) = torch.autograd.grad(loss, logits)
    rows = F.one_hot(before, len(student)).to(slopes.dtype)
    chances = _of_tokens(student.detach(), before, y).sum(1).exp()
    return chances, torch.einsum("ntr,ntv->nrv", rows, slopes.view(*y.shape, -1))


def _sequences(table: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The last token before each token of all sequences, and that token, (sequences, length) both."""
    V = table.shape[1]
    tokens = torch.arange(V, device=table.device)
    y = torch.cartesian_prod(*[tokens] * length).view(V**length, length)
    return torch.cat([torch.full_like(y[:, :1], V), y[:, :-1]], 1), y


def _of_tokens(table: Tensor, before: Tensor, y: Tensor) -> Tensor:
    """Log-probabilities of the tokens, of the shape of y."""
    return table.log_softmax(-1)[before, y]


def _returns(r: Tensor, discount: float) -> Tensor:
    columns = list(r.unbind(1))
    for t in range(len(columns) - 2, -1, -1):
        columns[t] = columns[t] + discount * columns[t + 1]
    return torch.stack(columns, 1)


def _rounded(x: Tensor) -> float:
    """Without the digits that are rounding errors."""
    return round(float(x), 12)
