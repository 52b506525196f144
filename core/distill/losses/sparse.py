"""Response losses on some tokens of the teacher's distribution, which fit on a disk.

With K the teacher's k likeliest tokens, P = Σ_K p their mass, c the counts of n draws, everything at temperature T:

    |                     | target                                             | minimiser           | truth stationary |
    |---------------------|----------------------------------------------------|---------------------|------------------|
    | top_k, renormalise  | p/P on K                                           | q = p/P on K        | no               |
    | top_k, tail         | p on K, and 1 − P for all other tokens together    | q = p on K          | yes              |
    | top_k, truth        | p on K, and 1 − P for the data token               | (2 − P)·p on K,     | no               |
    |                     |                                                    | (1 − P)·p elsewhere |                  |
    | random_sampling     | c/n                                                | q = p, on average   | on average       |

The minimiser of "truth" is that of the mean over data drawn from p: the data token gets the leftover mass also where
it is in K, so that K gets it twice. All are T² times a Kullback-Leibler divergence from the target, with the gradient
T²·(q − target) in the units of logits / T; where the mean target is not p, more data do not help. What is unbiased is
noisier: Anshumann et al., "Sparse Logit Sampling" (arXiv:2503.16870), from which all four are.

A loss takes the teacher's logits, or a `TopK` or `Sampled` made from them earlier; both ways give the same number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ...lm.precision import precise, wide
from .arguments import (
    bool_mask,
    check_labels,
    check_logits,
    check_student,
    check_temperature,
    check_vocabulary,
    first,
    position_words,
)
from .numba import backend as kernels
from .slabs import FLOOR, mean_over_tokens, slabs, teacher_log_probs

RESTS = ("renormalise", "tail", "truth")


@dataclass(frozen=True)
class TopK:
    """The teacher's likeliest tokens at each position.

    Attributes:
        ids: (batch, tokens, k) or (examples, k), integers.
        log_probs: the same shape, log p_T of these, largest first; −∞ is a probability of 0.
        vocabulary: the number of tokens in the vocabulary.
        temperature: the T of p_T.
    Raises ValueError: shapes that differ, ids outside the vocabulary, or log-probabilities that are NaN or above 0.
    """

    ids: Tensor
    log_probs: Tensor
    vocabulary: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_ids(self.ids, self.log_probs, "log_probs", self.vocabulary)
        above = first(~(self.log_probs <= 0.01))  # float16 may round log 1
        if above is not None:
            raise ValueError(
                f"log_probs hold {float(self.log_probs[tuple(above)]):g} at {position_words(above[:-1])}; "
                "a log-probability is at most 0: logits need log_softmax over the whole vocabulary first"
            )

    def on(self, device: torch.device | str) -> TopK:
        """The same on another device."""
        return replace(self, ids=self.ids.to(device), log_probs=self.log_probs.to(device))


@dataclass(frozen=True)
class Sampled:
    """Tokens drawn from the teacher at each position: each different token once, with its count.

    Attributes:
        ids: (batch, tokens, width) or (examples, width), integers.
        counts: the same shape; 0 in columns that a position does not use.
        vocabulary, temperature: as of `TopK`.
    Raises ValueError: shapes that differ, ids outside the vocabulary, or negative counts.
    """

    ids: Tensor
    counts: Tensor
    vocabulary: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_ids(self.ids, self.counts, "counts", self.vocabulary)
        if self.counts.is_floating_point() or bool((self.counts < 0).any()):
            raise ValueError("counts must be integers, 0 or more")

    def on(self, device: torch.device | str) -> Sampled:
        """The same on another device."""
        return replace(self, ids=self.ids.to(device), counts=self.counts.to(device))


def top_k_targets(
    teacher_logits: Tensor, k: int, temperature: float = 1.0, *, mask: Tensor | None = None
) -> TopK:
    """The k likeliest tokens at each position, their log-probabilities normalised over the whole vocabulary.

    Args:
        teacher_logits: (batch, tokens, vocabulary) or (examples, classes).
        k: between 1 and the vocabulary.
        temperature: T.
        mask: where it is 0 nothing is computed, and the result has id 0 with a probability of 0.
    Raises ValueError: k out of range, a temperature that is not above 0, or logits that are NaN (the message says
    where).
    """
    check_temperature(temperature)
    *shape, vocabulary = teacher_logits.shape
    _check_k(k, vocabulary)
    ids = torch.zeros(*shape, k, dtype=torch.int64, device=teacher_logits.device)
    found = wide(teacher_logits[:0]).new_full((*shape, k), -torch.inf)
    for slab in slabs(teacher_logits, bool_mask(mask, shape)):
        log_p, at = teacher_log_probs(teacher_logits, slab, temperature).topk(k)
        slab.put(log_p, found)
        slab.put(at, ids)
    return TopK(ids, found, vocabulary, temperature)


def sampled_targets(
    teacher_logits: Tensor,
    n: int,
    temperature: float = 1.0,
    *,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Sampled:
    """n draws, with replacement, from the teacher's p_T at each position, counted.

    Args:
        teacher_logits: (batch, tokens, vocabulary) or (examples, classes).
        n: at least 1; 50 in the paper, about 12 different tokens in its language models.
        temperature: T.
        mask: where it is 0 nothing is drawn, and the counts are 0.
        generator: on the device of the logits; torch's own without one.
    Raises ValueError: n below 1, a temperature that is not above 0, or logits that are NaN (the message says where).
    """
    check_temperature(temperature)
    if n < 1:
        raise ValueError(f"n is {n}; draw at least 1")
    *shape, vocabulary = teacher_logits.shape
    ids = torch.zeros(*shape, n, dtype=torch.int64, device=teacher_logits.device)
    counts = torch.zeros_like(ids)
    for slab in slabs(teacher_logits, bool_mask(mask, shape)):
        p = teacher_log_probs(teacher_logits, slab, temperature).exp()
        unique, count = _counted(torch.multinomial(p, n, replacement=True, generator=generator))
        slab.put(unique, ids)
        slab.put(count, counts)
    width = int((counts > 0).sum(-1).max()) if counts.numel() else 0
    return Sampled(ids[..., :width], counts[..., :width], vocabulary, temperature)


def top_k(
    student_logits: Tensor,
    teacher_logits: Tensor | TopK,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    k: int | None = None,
    rest: str = "renormalise",
    labels: Tensor | None = None,
    num_items: float | None = None,
    in_place: bool = False,
) -> Tensor:
    """T²·KL(target‖q_T), the target made of the teacher's k likeliest tokens. k = V is `forward_kl`.

    * "renormalise", p/P on K: what most programs do. Its minimiser has no mass outside of K, and the loss there is 0; at
      q = p it is −log P, and the gradient lowers every token outside of K.
    * "tail", Σ_K p·log(p/q) + (1 − P)·log((1 − P)/(1 − Q)) with Q = Σ_K q: all other tokens count as one. q = p is a
      minimiser, as is every q with the same mass outside of K, however it is spread there.
    * "truth": the missing mass goes to the data token, whether it is in K or not (the paper's naive fix). The tail gets
      its shape from the data, but too little mass: (1 − P)², where p has 1 − P.

    Args:
        teacher_logits: the same shape; or a `TopK` of these positions and this temperature.
        student_logits, mask, temperature, num_items, in_place: as in `forward_kl`.
        k: between 1 and the vocabulary; may be left out, or be smaller than what is there, for a `TopK`.
        rest: one of `RESTS`.
        labels: (batch, tokens), the data tokens that the positions predict, for "truth".
    Raises ValueError: shapes or vocabularies that differ, k missing or out of range, an unknown rest, "truth" without
    labels, a `TopK` of another temperature, or a teacher whose logits are NaN (the message says where).
    """
    if rest not in RESTS:
        raise ValueError(f"unknown rest {rest!r}; known: {', '.join(RESTS)}")
    if isinstance(teacher_logits, TopK):
        target = teacher_logits
        _check_target(student_logits, target, temperature)
        k = target.ids.shape[-1] if k is None else k
        _check_k(k, target.ids.shape[-1], "stored")
    else:
        check_logits(student_logits, teacher_logits, temperature)
        if k is None:
            raise ValueError("k is missing: say how many tokens of the teacher's distribution are kept")
        target = top_k_targets(teacher_logits, k, temperature, mask=mask)
    if rest == "truth":
        if labels is None:
            raise ValueError("rest is 'truth', but there are no labels to give the leftover mass to")
        check_labels(labels, student_logits, mask)

    ids = target.ids[..., :k].long()
    log_p = target.log_probs[..., :k].to(wide(student_logits[:0]).dtype).clamp(min=FLOOR)
    if rest == "tail":
        return mean_over_tokens(
            lambda log_q, slab: _with_tail(log_q, slab.of(ids), slab.of(log_p)),
            student_logits,
            mask,
            temperature,
            scale=temperature**2,
            num_items=num_items,
        )
    if rest == "truth" and labels is not None:
        ids, w = _with_truth(ids, log_p, labels.long())
    else:
        w = log_p.softmax(-1)
    return _mean_kl_at(student_logits, ids, w, mask, temperature, num_items, in_place)


def random_sampling(
    student_logits: Tensor,
    teacher_logits: Tensor | Sampled,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    n: int | None = None,
    generator: torch.Generator | None = None,
    num_items: float | None = None,
    in_place: bool = False,
) -> Tensor:
    """T²·KL(c/n‖q_T) with c ~ Multinomial(n, p_T): arXiv:2503.16870, draws in proportion to p itself.

    The mean of c/n is p, so that the gradient is that of `forward_kl` on average over draws. The value is larger, on
    average by T² times what the entropy of c/n falls short of that of p, and is not 0 at q = p.

    Args:
        teacher_logits: the same shape; or a `Sampled` of these positions and this temperature.
        student_logits, mask, temperature, num_items, in_place: as in `forward_kl`.
        n: at least 1; not for a `Sampled`, whose n is the sum of its counts.
        generator: for the draws, on the device of the logits; torch's own without one.
    Raises ValueError: shapes or vocabularies that differ, n missing or below 1, a `Sampled` of another temperature or
    with nothing drawn at an unmasked position, or a teacher whose logits are NaN (the message says where).
    """
    if isinstance(teacher_logits, Sampled):
        target = teacher_logits
        _check_target(student_logits, target, temperature)
        if n is not None:
            raise ValueError(f"n is {n}, but the tokens are drawn already: leave it out")
        mask, drawn = bool_mask(mask, target.ids.shape[:-1]), target.counts.sum(-1) > 0
        nothing = first(~drawn if mask is None else ~drawn & mask)
        if nothing is not None:
            raise ValueError(
                f"nothing was drawn at {position_words(nothing)}, which the mask does not leave out"
            )
    else:
        check_logits(student_logits, teacher_logits, temperature)
        if n is None:
            raise ValueError("n is missing: say how many tokens are drawn at each position")
        target = sampled_targets(teacher_logits, n, temperature, mask=mask, generator=generator)

    c = target.counts.to(wide(student_logits[:0]).dtype)
    w = c / c.sum(-1, keepdim=True)
    return _mean_kl_at(student_logits, target.ids.long(), w, mask, temperature, num_items, in_place)


@precise
def _mean_kl_at(
    student_logits: Tensor,
    ids: Tensor,
    w: Tensor,
    mask: Tensor | None,
    temperature: float,
    num_items: float | None,
    in_place: bool,
) -> Tensor:
    """T²·KL(w‖q_T), the mean over tokens."""
    return mean_over_tokens(
        lambda log_q, slab: _kl_at(log_q, slab.of(ids), slab.of(w)),
        student_logits,
        mask,
        temperature,
        scale=temperature**2,
        num_items=num_items,
        compiled=partial(kernels.sparse_kl, ids, w) if kernels.can_take(student_logits, w) else None,
        in_place=in_place,
    )


def _kl_at(log_q: Tensor, ids: Tensor, w: Tensor) -> Tensor:
    """KL(w‖q) for a w that is 0 outside of ids; an id may come more than once if all but one have a weight of 0."""
    return _dot(w, w.log().clamp(min=FLOOR) - log_q.gather(-1, ids))


def _with_tail(log_q: Tensor, ids: Tensor, log_p: Tensor) -> Tensor:
    """Σ_K p·log(p/q) + (1 − P)·log((1 − P)/(1 − Q)).

    1 − Q is summed over the tokens outside of K. Computed as 1 − Σ_K q it would round to 0 for a confident student,
    and the clamp that log 0 needs would stop the gradient there.
    """
    on_k = _dot(log_p.exp(), log_p - log_q.gather(-1, ids))
    if ids.shape[-1] == log_q.shape[-1]:
        return on_k
    missing = _missing(log_p)
    log_rest = log_q.scatter(-1, ids, -torch.inf).logsumexp(-1)
    return on_k + missing * (missing.log().clamp(min=FLOOR) - log_rest)


def _with_truth(ids: Tensor, log_p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and weights of p on K with 1 − P added to the data token y."""
    y, missing = y.unsqueeze(-1), _missing(log_p).unsqueeze(-1)
    hit = ids == y
    at_y = torch.where(hit.any(-1, keepdim=True), 0, missing)
    return torch.cat([ids, y], -1), torch.cat([log_p.exp() + hit * missing, at_y], -1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _missing(log_p: Tensor) -> Tensor:
    """1 − P, and 0 where rounding took P above 1."""
    return -torch.expm1(log_p.logsumexp(-1).clamp(max=0))


def _counted(draws: Tensor) -> tuple[Tensor, Tensor]:
    """The different tokens of each row (rows, n) and their counts, both (rows, n), 0 in unused columns."""
    ids = draws.sort(-1).values
    other = torch.ones_like(ids, dtype=torch.bool)
    other[:, 1:] = ids[:, 1:] != ids[:, :-1]
    slot = other.cumsum(-1) - 1
    counts = torch.zeros_like(ids).scatter_add(-1, slot, torch.ones_like(ids))
    return torch.zeros_like(ids).scatter(-1, slot, ids), counts


def _check_ids(ids: Tensor, others: Tensor, name: str, vocabulary: int) -> None:
    if ids.dim() not in (2, 3) or ids.shape != others.shape or ids.is_floating_point():
        raise ValueError(
            f"ids are {ids.dtype} of shape {tuple(ids.shape)}, {name} of {tuple(others.shape)}; "
            "integers (batch, tokens, k), and both alike, are needed"
        )
    outside = first((ids < 0) | (ids >= vocabulary))
    if outside is not None:
        raise ValueError(
            f"an id at {position_words(outside[:-1])} is {int(ids[tuple(outside)])}, but the vocabulary is 0 to "
            f"{vocabulary - 1}"
        )


def _check_k(k: int, most: int, of: str = "vocabulary") -> None:
    if not 1 <= k <= most:
        what = f"the vocabulary, {most}" if of == "vocabulary" else f"what is stored, {most}"
        raise ValueError(f"k is {k}; it must be between 1 and {what}")


def _check_target(student_logits: Tensor, target: TopK | Sampled, temperature: float) -> None:
    check_student(student_logits)
    check_temperature(temperature)
    check_vocabulary(student_logits, target.vocabulary)
    if target.ids.shape[:-1] != student_logits.shape[:-1]:
        raise ValueError(
            f"the teacher's targets are for positions {tuple(target.ids.shape[:-1])}, but student_logits have shape "
            f"{tuple(student_logits.shape)}"
        )
    if target.temperature != temperature:
        raise ValueError(
            f"temperature is {temperature:g}, but the targets were made at {target.temperature:g}, and what was "
            "left out then cannot be had at another"
        )
