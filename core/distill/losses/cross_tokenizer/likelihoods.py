"""Approximate likelihood matching: each span is one event, with the probability that a model gives it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .alignment import AlignedTokens, Alignment
from .spans import over_tokens, span_logp, span_mask, take
from .units import masked, masked_teacher, mean, positive


def alm(
    student_logits: Tensor,
    teacher_logits: Tensor,
    alignment: Alignment,
    mask: Tensor | None = None,
    *,
    tau: float = 100.0,
    next_marks: tuple[Tensor, Tensor] | None = None,
    both_ends: bool = False,
    num_items: float | None = None,
) -> Tensor:
    """Binary cross-entropy of (e^{ℓ/τ}, 1 − e^{ℓ/τ}), teacher to student, ℓ = Σ log p over a span; mean over spans.

    Minixhofer et al., "Universal cross-tokenizer distillation via approximate likelihood matching" (arXiv:2503.20083).
    The teacher's own entropy is taken off, a constant: the gradient is that of tokenkit's binary_ce, and the loss is 0
    where all ℓ are equal. It falls as 1/τ: weigh it accordingly beside other losses.

    By token chunk or by word chunk is a matter of the alignment: minimal spans, or spans that end at words' ends.
    Minimiser: a student whose spans are as likely as the teacher's, for the spans of the text only: all alternatives
    to a span count as one event. Known bias: two exact models of one text give minimal spans different likelihoods,
    but not words that include their end (`span_logp`). Where a mark begins words, "ab" may still become "abc" for a
    student of characters, when the teacher's token excludes that. `next_marks` takes the likelihood of these bytes
    and then a word's end, the paper's debiasing of outcomes, exact for the first word of a text. For later words the
    context, the end of the word before, has the same bias; `both_ends` removes that too (ours), and is exact for
    words.

    Args:
        student_logits, teacher_logits, alignment, mask, num_items: as in `uld`, of spans.
        tau: τ; at 1 unlikely spans have almost no gradient.
        next_marks: the student's tokens that begin with a mark, (V_s,), and the teacher's, (V_t,), from `begins_with`.
            ℓ + log Σ p(those) behind the span takes the place of ℓ. The logits then need one more position than there
            are tokens, for what follows the last one.
        both_ends: with next_marks, take off log Σ p(those) at the first token of a span that begins with a mark.
    Raises ValueError: shapes that do not match, τ ≤ 0, or NaN in the teacher.
    """
    positive(tau=tau)
    if both_ends and next_marks is None:
        raise ValueError("both_ends needs next_marks: which tokens begin with a mark")
    mask = span_mask(alignment, mask)
    clean = masked_teacher(over_tokens(teacher_logits, alignment.teacher, "teacher_logits"), None)
    student = span_logp(student_logits, alignment.student)
    teacher = span_logp(clean, alignment.teacher)
    if next_marks is not None:
        student = student + _marks(
            student_logits, alignment.student, mask, next_marks[0], both_ends, "student"
        )
        teacher = teacher + _marks(
            teacher_logits, alignment.teacher, mask, next_marks[1], both_ends, "teacher"
        )
    return mean(binary_kl(teacher / tau, student / tau), mask, num_items)


def begins_with(pieces: Sequence[bytes], mark: bytes = b" ") -> Tensor:
    """(V,), true for tokens that begin with a mark. Raises ValueError: there are none."""
    found = torch.tensor([piece.startswith(mark) for piece in pieces], device="cpu")
    if not found.any():
        raise ValueError(f"none of {len(pieces)} tokens begins with {mark!r}")
    return found


def binary_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL between Bernoulli distributions with probabilities e^{log_p} and e^{log_q}.

    Both are lowered by a rounding error first, as in tokenkit: at a probability of 1 the loss could be ∞, with no
    usable gradient.
    """
    step = torch.finfo(log_q.dtype).eps
    log_p, log_q = log_p - step, log_q - step
    yes, no = log_p.exp(), -log_p.expm1()
    # Where the teacher's probability is 0, e^{−∞}·(−∞) would be NaN.
    first = torch.where(yes > 0, yes * (log_p.clamp(min=torch.finfo(log_p.dtype).min) - log_q), 0)
    return first + no * (_log1mexp(log_p) - _log1mexp(log_q))


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 − e^x) for x < 0 without losing digits at either end (Mächler, 2012)."""
    near = x > -0.6931471805599453
    return torch.where(near, -torch.where(near, x, -1.0).expm1(), 1.0).log() + torch.where(
        near, 0.0, torch.log1p(-torch.where(near, -1.0, x).exp())
    )


def _marks(
    logits: Tensor, side: AlignedTokens, mask: Tensor, marks: Tensor, both_ends: bool, name: str
) -> Tensor:
    """The log-likelihood that the marks around a span add to its own, (batch, spans)."""
    last = int(side.stop.max()) if side.stop.numel() else 0
    if logits.shape[1] <= last:
        raise ValueError(
            f"{name}_logits have {logits.shape[1]} positions, but what follows token {last} is asked for: give the "
            "model's last output too, or leave next_marks out"
        )
    if marks.shape != logits.shape[-1:]:
        raise ValueError(f"{len(marks)} marks do not fit the {name}'s {logits.shape[-1]} tokens")
    marks = marks.to(logits.device)
    clean = masked_teacher if name == "teacher" else masked
    found = _mark_logp(clean(take(logits, side.stop), mask, f"{name}_logits"), marks)
    if both_ends:
        first = marks[side.ids.gather(1, side.start)] & mask
        begins = _mark_logp(clean(take(logits, side.start), mask, f"{name}_logits"), marks)
        found = found - torch.where(first, begins, 0)
    return found


def _mark_logp(logits: Tensor, marks: Tensor) -> Tensor:
    return logits.log_softmax(-1)[..., marks].logsumexp(-1)
