"""Teacher and student of one vocabulary: bias and gradient of a loss at the truth, its gradient at another student."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses import forward_kl
from .minimisers import DRAWN, Settings, minimiser

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AtTruth:
    """Means over tokens, where teacher and student are both the truth.

    Attributes:
        bias: KL(q*‖p) in nats, q* the minimiser of the loss. A loss that is a cross-entropy is lower at q* than at
            the truth by this much. The other direction, KL(p‖q*), is infinite where q* leaves out a possible token.
        pull: ½·Σ|∂loss/∂logits|, the probability that a unit step of the gradient moves between tokens. 0 where the
            truth is a stationary point.
    """

    bias: float
    pull: float


def at_truth(name: str, loss: Loss, log_p: Tensor, settings: Settings) -> AtTruth:
    """Bias and pull of a loss, by its name in `names.ONE`, at the truth log_p (batch, tokens, V).

    The expected pull of a stochastic loss is that of its mean target, which needs no draws.
    """
    log_q = minimiser(name, log_p, settings)
    q = log_q.exp()
    bias = torch.where(q > 0, q * (log_q - log_p), 0.0).sum(-1).mean()
    pull = log_p.exp() - q if name in DRAWN else gradient(loss, log_p, log_p)
    return AtTruth(_exact(bias), _exact(pull.abs().sum(-1).mean() / 2))


def _exact(x: Tensor) -> float:
    """0 for a value that is only a rounding error."""
    return 0.0 if abs(float(x)) < 1e-12 else float(x)


def gradient(loss: Loss, student_logits: Tensor, log_p: Tensor) -> Tensor:
    """(batch, tokens, V), the gradient of each token's own loss: that of the mean times the number of tokens."""
    student_logits = student_logits.detach().requires_grad_()
    (found,) = torch.autograd.grad(loss(student_logits, log_p), student_logits)
    return found * math.prod(found.shape[:-1])


@dataclass(frozen=True)
class AtStudent:
    """A gradient compared with that of forward KL with the whole distribution.

    Attributes:
        angle: between them, in degrees.
        norm: the ratio of their norms.
    """

    angle: float
    norm: float


def at_student(loss: Loss, log_p: Tensor, before: Tensor, learnt: float = 0.0) -> AtStudent:
    """Compare gradients at a bigram model, a table from the last token to the distribution of the next.

    Its rows mix the best bigram model of this text, with the share `learnt`, and the frequencies of tokens. The
    gradient is that of the table's logits, and so a sum over the positions with the same last token. At learnt = 1
    the gradient of forward KL is 0, and the angle to it is undefined.

    Args:
        log_p: (batch, tokens, V), the truth.
        before: (batch, tokens), the last token before each position.
        learnt: in [0, 1).
    """
    log_p = log_p.float()  # an angle needs no more, and takes half the time
    p = log_p.exp()
    rows = _table(p, before)
    best = rows / rows.sum(-1, keepdim=True).clamp(min=1)
    student = ((1 - learnt) * p.mean((0, 1)) + learnt * best).log()[before]
    full, found = (_table(gradient(each, student, log_p), before).double() for each in (forward_kl, loss))
    lengths = float(full.norm()), float(found.norm())
    cosine = float((full * found).sum()) / math.prod(lengths)
    angle = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    return AtStudent(round(angle, 2), lengths[1] / lengths[0])  # acos makes 0.02° of a gradient's rounding


def _table(x: Tensor, before: Tensor) -> Tensor:
    """(V, V): sums of x (batch, tokens, V) over the positions with the same last token."""
    vocabulary = x.shape[-1]
    return x.new_zeros(vocabulary, vocabulary).index_add_(0, before.flatten(), x.reshape(-1, vocabulary))
