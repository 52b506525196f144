"""What a student and its teacher are compared by at each token of a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from ...lm.precision import precise, wide
from ..losses import forward_kl, hard_data, jsd, reverse_kl
from ..losses.arguments import check_labels, check_logits, divisor

Loss = Literal["reverse_kl", "forward_kl", "jsd", "token", "nll"]
LOSSES: tuple[str, ...] = get_args(Loss)

OverVocabulary = Callable[..., Tensor]
_OVER_VOCABULARY: dict[str, OverVocabulary] = {"reverse_kl": reverse_kl, "forward_kl": forward_kl, "jsd": jsd}


@precise
def sampled_token(
    student_logits: Tensor,
    teacher_logits: Tensor,
    tokens: Tensor,
    temperature: float = 1.0,
    *,
    num_items: float | None = None,
) -> Tensor:
    """T²·(log q_T(y) − log p_T(y)) at sampled tokens y, whose gradient is T²·(log q_T(y) − log p_T(y))·∇log q_T(y).

    The policy gradient with the advantage log p(y) − log q(y), held constant (Lu & Thinking Machines Lab, "On-Policy
    Distillation", 2025). For y drawn from q_T its mean, value and gradient, is that of `reverse_kl`.

    Args:
        student_logits, teacher_logits: (tokens, V). tokens: (tokens,), y.
        temperature, num_items: as in `reverse_kl`.
    Returns: scalar, the mean over tokens. Raises ValueError: shapes or vocabularies that differ, or a token outside of them.
    """
    check_logits(student_logits, teacher_logits, temperature)
    check_labels(tokens, student_logits, None)
    log_q, log_p = (
        (wide(logits) / temperature).log_softmax(-1).gather(-1, tokens[:, None]).squeeze(-1)
        for logits in (student_logits, teacher_logits.detach())
    )
    ratio = (log_q - log_q.detach()).exp()  # 1, with the gradient of log q
    loss: Tensor = (ratio * (log_q.detach() - log_p)).sum()
    return temperature**2 * loss / divisor(None, tokens.shape, num_items)


def loss_of(
    name: Loss,
    student_logits: Tensor,
    teacher_logits: Tensor | None,
    tokens: Tensor,
    temperature: float,
    num_items: float,
) -> Tensor:
    """A loss by its name; "nll" is −log q(y), without a teacher or a temperature.

    Raises ValueError: an unknown name, or no teacher where there must be one.
    """
    if name == "nll":
        return hard_data(student_logits, tokens, num_items=num_items)
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; known: {', '.join(LOSSES)}")
    if teacher_logits is None:
        raise ValueError(f"the loss {name} needs a teacher; without one there is nll")
    if name == "token":
        return sampled_token(student_logits, teacher_logits, tokens, temperature, num_items=num_items)
    return _OVER_VOCABULARY[name](
        student_logits, teacher_logits, temperature=temperature, num_items=num_items
    )
