"""A model's outputs for spans: the log-probability of a span, one distribution of it, and tensors at its start.

Logits at a position are those of the token at that position: the model's output one position earlier, as
`model([BOS, *ids])[:-1]` gives them. Logits may have more positions than there are tokens; those behind are not read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .alignment import AlignedTokens, Alignment
from .units import masked, positive

MERGES = ("bayesian", "observed")


def token_logp(logits: Tensor, side: AlignedTokens) -> Tensor:
    """log p of each token of the text, (batch, tokens); 0 in padding."""
    return gather_tokens(over_tokens(logits, side).log_softmax(-1), side)


def span_logp(logits: Tensor, side: AlignedTokens) -> Tensor:
    """ℓ = Σ log p over the tokens of each span, (batch, spans): the joint probability of what the span writes.

    It is conditional on the tokens before the span, and on these tokens of it. Two exact models of one text agree on
    it where a span is a whole word that includes its end (`word_ends`), but not on minimal spans, since the last
    token of one model may exclude some continuations ("tokenization bias" in arXiv:2410.09303).
    """
    return _sums(token_logp(logits, side), side)


def merged(logits: Tensor, side: AlignedTokens, merge: str = "bayesian", temperature: float = 1.0) -> Tensor:
    """Each span's tokens as one vector over the vocabulary, as GOLD makes it (TRL, `GOLDTrainer`), in logs.

    | merge    | entry y                                  | the probability of                               |
    |----------|------------------------------------------|--------------------------------------------------|
    | bayesian | Π p(token) over earlier ones · p_last(y) | the span's earlier tokens, then y: for every y   |
    | observed | p_first(y) · Π p(token) over later ones  | the span, if y is its first token; else nothing: |
    |          |                                          | the later ones were predicted after the first    |

    Both agree with `span_logp` at the token that is there. bayesian is the chain rule; its entries sum to the
    probability of the earlier tokens. observed is TRL's default, and TRL reads its logits one position late with it
    (issue #5152): the prediction after a token is taken for the prediction of it. Here both read the right position.

    With either, spans of more than one token are named by one of their tokens: where student and teacher cut a span
    differently, entries of the same name are different events.

    Args:
        logits: (batch, tokens, V).
        side: the tokens, and the spans they belong to.
        merge: one of `MERGES`.
        temperature: of all distributions that are multiplied.
    Returns: (batch, spans, V), log-probs; sums of exp at most 1 for bayesian. Anything where there is no span.
    Raises ValueError: an unknown merge, shapes that do not match, or a temperature ≤ 0.
    """
    if merge not in MERGES:
        raise ValueError(f"unknown merge {merge!r}; known: {', '.join(MERGES)}")
    positive(temperature=temperature)
    logp = (over_tokens(logits, side) / temperature).log_softmax(-1)
    at = (side.stop - 1).clamp(min=0) if merge == "bayesian" else side.start
    # Left out before the sum: subtracted afterwards it would leave rounding errors, and NaN where it is −∞.
    padding = side.stop == 0
    chosen = torch.zeros(len(at), logp.shape[1] + 1, dtype=torch.bool, device=at.device)
    chosen = chosen.scatter(1, at.masked_fill(padding, logp.shape[1]), True)[:, :-1]
    return take(logp, at) + _sums(gather_tokens(logp, side).masked_fill(chosen, 0), side).unsqueeze(-1)


def gather_tokens(logp: Tensor, side: AlignedTokens) -> Tensor:
    """The entries of (batch, tokens, V) at the tokens' own ids, (batch, tokens); 0 in padding.

    Raises ValueError: an id that the vocabulary does not have.
    """
    largest = int(side.ids.max()) if side.ids.numel() else 0
    if largest >= logp.shape[-1]:
        raise ValueError(
            f"the tokens have ids up to {largest}, but the logits only {logp.shape[-1]} entries: "
            "are they of this side's vocabulary?"
        )
    return logp.gather(-1, side.ids.unsqueeze(-1)).squeeze(-1).masked_fill(~side.mask, 0)


def at_starts(x: Tensor, side: AlignedTokens, name: str = "logits") -> Tensor:
    """What a tensor (batch, tokens, …) holds at the first token of each span, (batch, spans, …).

    Both sides have read the same bytes there, so that next-token distributions and hidden states have the same
    context. The distributions are still over different vocabularies.
    """
    return take(over_tokens(x, side, name), side.start)


def common_units(
    student_logits: Tensor, teacher_logits: Tensor, mask: Tensor | None, alignment: Alignment | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits of both sides as (batch, units, …), and the mask of the units: spans where there is an alignment.

    Raises ValueError: not as many units on both sides.
    """
    if alignment is not None:
        student_logits = at_starts(student_logits, alignment.student, "student_logits")
        teacher_logits = at_starts(teacher_logits, alignment.teacher, "teacher_logits")
        mask = span_mask(alignment, mask)
    if student_logits.shape[:2] != teacher_logits.shape[:2]:
        raise ValueError(
            f"student_logits have shape {tuple(student_logits.shape)}, teacher_logits {tuple(teacher_logits.shape)}: "
            "as many units are needed; give an alignment where the tokens differ"
        )
    return student_logits, teacher_logits, mask


def span_mask(alignment: Alignment, mask: Tensor | None) -> Tensor:
    """(batch, spans), true where there is a span and the mask, if given, is true.

    Raises ValueError: a mask of another shape.
    """
    if mask is None:
        return alignment.mask
    if mask.shape != alignment.mask.shape:
        raise ValueError(
            f"the mask has shape {tuple(mask.shape)}, but the spans {tuple(alignment.mask.shape)}"
        )
    return alignment.mask & mask.bool()


def take(x: Tensor, at: Tensor) -> Tensor:
    """Rows of (batch, tokens, width) at (batch, n) positions."""
    return x.gather(1, at.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def over_tokens(x: Tensor, side: AlignedTokens, name: str = "logits") -> Tensor:
    """(batch, tokens, …) without the positions behind the tokens, zeros in padding.

    Raises ValueError: fewer positions than tokens, or another batch.
    """
    batch, length = side.mask.shape
    if x.dim() != 3 or x.shape[0] != batch or x.shape[1] < length:
        raise ValueError(f"{name} have shape {tuple(x.shape)}; ({batch}, at least {length}, …) is needed")
    return masked(x[:, :length], side.mask, name)


def _sums(x: Tensor, side: AlignedTokens) -> Tensor:
    """Sums over the tokens of each span; tokens of no span fall into one more, which is dropped."""
    spans = side.start.shape[1]
    return x.new_zeros(len(x), spans + 1).scatter_add(1, side.span, x)[:, :spans]
