"""Feature losses: the student's hidden states and attention maps against the teacher's, position by position.

Their minimisers are states, not distributions: the next token needs a response loss beside them. All are 0 where the
(projected) student equals the teacher.

A projector is trained with the student and then thrown away. It is a module of its own: given to the optimiser beside
the student's parameters, but in neither the student's checkpoint nor its number of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...lm.precision import precise, wide
from ...suggest import did_you_mean
from .arguments import bool_mask, divisor, first, position_words

KINDS = ("mse", "cosine")
ATTENTION_KINDS = ("mse", "kl")


@precise
def feature(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    projector: nn.Module | None = None,
    kind: str = "mse",
    *,
    power: float | None = None,
    num_items: float | None = None,
) -> Tensor:
    """The distance of projected hidden states from the teacher's: hints (Romero et al., FitNets, arXiv:1412.6550, eq. 3).

    * "mse": mean over positions of ‖P·h_S − h_T‖² / d, divided by the mean of h_T². Without that the late layers, whose
      states are larger, would outweigh the others. A student of zeros has a loss of 1.
    * "cosine": mean over positions of 1 − cos(P·h_S, h_T); between 0 and 2, whatever the norms.

    The minimiser, with a loss of 0, is P·h_S = h_T (for "cosine": a positive multiple of it). A P of zeros gives h_S
    no gradient, hence the initial values of `linear_projector`.

    Args:
        student_hidden: (batch, tokens, d_S) or (examples, d_S).
        teacher_hidden: (batch, tokens, d_T) or (examples, d_T), constant to the gradient.
        mask, num_items: as in `forward_kl`.
        projector: P, from d_S to d_T; needed where these differ.
        kind: one of `KINDS`.
        power: the mean of h_T², for "mse"; that of the unmasked positions if None. Where a batch comes in pieces, or
            batches shall have equal weight, a number measured once over the data.
    Returns: scalar, in float32 unless the states are float64; 0 if all is masked.
    Raises ValueError: shapes that do not match, a projector that is missing or makes another width, an unknown kind, a
    power that is not above 0, or a teacher whose states are NaN or infinite (the message says where).
    """
    _check_name("kind", kind, KINDS)
    h_S, h_T = states(student_hidden, teacher_hidden, mask)
    h_S = wide(h_S) if projector is None else wide(projected(projector, h_S))
    if h_S.shape[-1] != h_T.shape[-1]:
        made = "" if projector is None else "'s projector"
        raise ValueError(
            f"the student{made} has a width of {h_S.shape[-1]}, the teacher one of {h_T.shape[-1]}: "
            f"give a projector, such as linear_projector({student_hidden.shape[-1]}, {h_T.shape[-1]})"
        )
    items = divisor(None, h_T.shape[:1], num_items)
    if kind == "cosine":
        return (1 - (unit(h_S) * unit(h_T)).sum(-1)).sum() / items
    return (h_S - h_T).square().mean(-1).sum() / items / _power(h_T, power)


@precise
def attention_transfer(
    student_attention: Tensor,
    teacher_attention: Tensor,
    mask: Tensor | None = None,
    kind: str = "mse",
    *,
    heads: str = "match",
    num_items: float | None = None,
) -> Tensor:
    """The distance of attention maps: mean over heads and unmasked queries.

    * "mse": Σ over keys of (a_S − a_T)². TinyBERT (arXiv:1909.10351) has the mean over keys, which makes the
      loss of a row of probabilities fall as the text grows.
    * "kl": Σ over keys of a_T·log(a_T/a_S), as MobileBERT (arXiv:2004.02984).

    (Not the "attention transfer" of convolutions, whose maps are sums of squared channels.) Its minimiser, with a
    loss of 0, is equal maps.

    Args:
        student_attention: (batch, heads, queries, keys), probabilities over keys.
        teacher_attention: (batch, heads of the teacher, queries, keys), constant to the gradient.
        mask: (batch, queries), true or 1 where a query counts; all of them without one. Where there are as many keys
            as queries, it takes out keys too.
        kind: one of `ATTENTION_KINDS`.
        heads: "match" compares head with head, in order; "mean" the averages over heads, for unequal numbers.
        num_items: the number of unmasked queries of the whole batch where this is a piece of one.
    Returns: scalar, in float32 unless the maps are float64; 0 if all is masked.
    Raises ValueError: shapes that do not match, other numbers of heads under "match", an unknown kind or
    heads, maps that are no probabilities for "kl", or a teacher that is NaN (the message says where).
    """
    _check_name("kind", kind, ATTENTION_KINDS)
    _check_name("heads", heads, ("match", "mean"))
    _check_maps(student_attention, teacher_attention, heads)
    a_S, a_T = wide(student_attention), wide(teacher_attention.detach())
    batch, _, queries, keys = a_S.shape
    mask = bool_mask(mask, (batch, queries))
    if mask is not None:
        pairs = mask[:, None, :, None] & (mask[:, None, None, :] if keys == queries else True)
        a_S, a_T = a_S.masked_fill(~pairs, 0), a_T.masked_fill(~pairs, 0)
    bad = first(a_T.isnan().any(-1).any(1))
    if bad is not None:
        raise ValueError(f"teacher_attention is NaN at {position_words(bad)}")
    if heads == "mean":
        a_S, a_T = a_S.mean(1, keepdim=True), a_T.mean(1, keepdim=True)
    if kind == "mse":
        difference = (a_S - a_T).square().sum(-1)
    else:
        _check_probabilities(a_T, mask)
        tiny = torch.finfo(a_S.dtype).tiny
        difference = (torch.xlogy(a_T, a_T) - a_T * a_S.clamp(min=tiny).log()).sum(-1)
    return difference.mean(1).sum() / divisor(mask, (batch, queries), num_items)


def linear_projector(
    student_width: int, teacher_width: int, *, generator: torch.Generator | None = None
) -> nn.Linear:
    """h ↦ W·h + b, with W of variance 1/student_width and b = 0, which keeps the size of states.

    Not W = 0: the student's gradient is Wᵀ times something, and would be 0 until W has moved.
    """
    made = nn.Linear(student_width, teacher_width)
    _start(made, 1.0, generator)
    return made


def mlp_projector(
    student_width: int,
    teacher_width: int,
    *,
    width: int | None = None,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """h ↦ W₂·relu(W₁·h), `width` in between (teacher_width unless given); its initial values keep the size of states.

    It fits more than a linear one, also where the student's states stay poor; what it learns is thrown away with it.
    """
    width = teacher_width if width is None else width
    made = nn.Sequential(nn.Linear(student_width, width), nn.ReLU(), nn.Linear(width, teacher_width))
    for layer, gain in ((made[0], 2.0), (made[2], 1.0)):  # relu halves the power
        _start(layer, gain, generator)
    return made


def layer_pairs(
    student_layers: int, teacher_layers: int, mapping: str | Sequence[tuple[int, int]] = "uniform"
) -> tuple[tuple[int, int], ...]:
    """Pairs of layers (student, teacher), counted from 0: which layer learns from which.

    Args:
        mapping: "last", the last from the last; "uniform", every layer i of the student's S from the teacher's at the
            same share of its T, ⌈(i + 1)·T/S⌉ − 1, so that the last learns from the last (TinyBERT, arXiv:1909.10351); or pairs (student, teacher).
    Raises ValueError: no layers, an unknown mapping, no pairs, or one outside the models.
    """
    if student_layers < 1 or teacher_layers < 1:
        raise ValueError(
            f"the student has {student_layers} layers, the teacher {teacher_layers}: 1 is the least"
        )
    if isinstance(mapping, str):
        _check_name("mapping", mapping, ("last", "uniform"))
        of = range(student_layers) if mapping == "uniform" else [student_layers - 1]
        return tuple((i, math.ceil((i + 1) * teacher_layers / student_layers) - 1) for i in of)
    pairs = tuple((int(s), int(t)) for s, t in mapping)
    if not pairs:
        raise ValueError("the mapping has no pairs: name at least one (student layer, teacher layer)")
    for s, t in pairs:
        for who, layer, layers in (("student", s, student_layers), ("teacher", t, teacher_layers)):
            if not 0 <= layer < layers:
                raise ValueError(f"pair ({s}, {t}): the {who} has layers 0 to {layers - 1}")
    return pairs


def states(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The unmasked positions of both, (positions, width); the teacher's are detached and in float32 at least.

    Raises ValueError: shapes that do not match, or a teacher whose states are NaN or infinite (the message says where).
    """
    shape = student_hidden.shape[:-1]
    if len(shape) not in (1, 2) or teacher_hidden.shape[:-1] != shape:
        raise ValueError(
            f"student_hidden has shape {tuple(student_hidden.shape)}, teacher_hidden {tuple(teacher_hidden.shape)}; "
            "both (batch, tokens, width), alike but for the width, are needed"
        )
    mask = bool_mask(mask, shape)
    h_T = teacher_hidden.detach().to(wide(student_hidden[:0]).dtype)
    finite = h_T.isfinite().all(-1)
    bad = first(~finite if mask is None else ~finite & mask)
    if bad is not None:
        raise ValueError(f"teacher_hidden is not finite at {position_words(bad)}")
    if mask is None:
        return student_hidden.flatten(0, len(shape) - 1), h_T.flatten(0, len(shape) - 1)
    return student_hidden[mask], h_T[mask]


def projected(projector: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """projector(x), computed in the dtype of its weights."""
    weight = next(projector.parameters(), None) if isinstance(projector, nn.Module) else None
    return projector(wide(x) if weight is None else x.to(weight.dtype))


def unit(x: Tensor) -> Tensor:
    """x / ‖x‖ over the last dimension; 0, and a gradient of 0, where x is 0."""
    squares = x.square().sum(-1, keepdim=True)
    nothing = squares == 0
    return x * torch.where(nothing, 0, squares.masked_fill(nothing, 1).rsqrt())


def _power(h_T: Tensor, power: float | None) -> Tensor | float:
    if power is None:
        found = h_T.square().mean()
        if len(h_T) == 0:
            return 1.0
        if float(found) == 0:
            raise ValueError("teacher_hidden is 0 everywhere: there is nothing to learn from it")
        return found
    if not 0 < power < math.inf:
        raise ValueError(
            f"power is {power:g}; the mean of the teacher's squared states is above 0 and finite"
        )
    return power


def _start(layer: nn.Module, gain: float, generator: torch.Generator | None) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=math.sqrt(gain / layer.in_features), generator=generator)
        nn.init.zeros_(layer.bias)


def _check_maps(student: Tensor, teacher: Tensor, heads: str) -> None:
    if (
        student.dim() != 4
        or teacher.dim() != 4
        or ((student.shape[0], *student.shape[2:]) != (teacher.shape[0], *teacher.shape[2:]))
    ):
        raise ValueError(
            f"student_attention has shape {tuple(student.shape)}, teacher_attention {tuple(teacher.shape)}; "
            "both (batch, heads, queries, keys), alike but for the heads, are needed"
        )
    if heads == "match" and student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f"the student has {student.shape[1]} heads, the teacher {teacher.shape[1]}: which learns from which? "
            "heads='mean' compares their averages; minilm_relations splits any number anew"
        )


def _check_probabilities(a_T: Tensor, mask: Tensor | None) -> None:
    wrong = (a_T.sum(-1) - 1).abs().amax(1) > 0.01
    bad = first(wrong if mask is None else wrong & mask)
    if bad is not None or bool((a_T < 0).any()):
        at = "" if bad is None else f" at {position_words(bad)}"
        raise ValueError(
            f"teacher_attention is no distribution over keys{at}: 'kl' needs maps after softmax, summing to 1"
        )


def _check_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ValueError(f"no {what} {name!r}.{did_you_mean(str(name), known)} There are: {', '.join(known)}")
