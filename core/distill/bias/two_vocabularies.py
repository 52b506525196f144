"""A perfect subword teacher and a perfect student of characters: where a loss leads the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..language import Truth
from ..losses.cross_tokenizer import (
    Alignment,
    Tokens,
    align_batch,
    alm,
    exact_marginal,
    exact_string,
    gold,
    mapped_kl,
    marginal,
    min_ed,
    shared,
    soft_targets,
    tokens,
    trie,
    uld,
    word_ends,
)
from .texts import FLOOR, Text, by_characters

STEPS = 60
"""Iterations of L-BFGS."""


@dataclass(frozen=True)
class Minimised:
    """Where a loss leads a perfect student of characters.

    Attributes:
        units: number of units (spans, or characters) that the loss is a mean over, per character.
        value: the loss at the truth, a mean over its units.
        gain: the loss at the truth less the least loss that L-BFGS finds, a lower bound of how much the minimiser
            saves.
        pull: ½·Σ|∂loss/∂logits| at the truth, per character.
        bias: KL(q‖p) in nats per character, q the student that L-BFGS makes of the truth p.
    """

    units: float
    value: float
    gain: float
    pull: float
    bias: float


def minimise(name: str, text: Text) -> Minimised:
    """Minimise a loss, by its name in `names.TWO`, from the truth, on the documents of a text in subword tokens."""
    characters, lengths = by_characters(text)
    pairs = [
        (tokens(row[1 : 1 + length], characters.view.pieces), tokens(pieces[1:], text.view.pieces))
        for row, length, pieces in zip(characters.ids.tolist(), lengths, text.ids.tolist(), strict=True)
    ]
    words = name == "alm-words"
    alignment = align_batch(
        pairs, [word_ends(each.text, leading=False) for each, _ in pairs] if words else None
    )
    mask = alignment.student.mask
    loss = _loss(name, text, characters, alignment, [each for each, _ in pairs])
    log_p = characters.log_probs()
    units = float((mask if "marginal" in name else alignment.mask).sum())

    start = log_p.clone().requires_grad_()
    loss_at_truth = loss(start)
    (pull,) = torch.autograd.grad(loss_at_truth * units, start)
    value = max(0.0, loss_at_truth.item())  # of a loss that is never negative: rounding
    lowest, log_q = _lowest(loss, log_p, units)
    kl = (log_q.exp() * (log_q - log_p)).sum(-1)[mask].clamp(min=0)
    count = float(mask.sum())
    return Minimised(
        units=units / count,
        value=value,
        gain=max(0.0, value - lowest),
        pull=float(pull.abs().sum()) / 2 / count,
        bias=float(kl.sum()) / count,
    )


def _loss(
    name: str, text: Text, characters: Text, alignment: Alignment, students: list[Tokens]
) -> Callable[[Tensor], Tensor]:
    """The loss as a function of the student's logits."""
    student, teacher, log_p = characters.view.pieces, text.view.pieces, text.log_probs()
    if name == "uld":
        return lambda logits: uld(logits, log_p, alignment=alignment)
    if name in ("exact-string", "min-ed"):
        mapping = (exact_string if name == "exact-string" else min_ed)(student, teacher)
        return lambda logits: mapped_kl(logits, log_p, mapping, alignment=alignment)
    if name.startswith("gold"):
        names, merge = shared(student, teacher), name.removeprefix("gold-")
        return lambda logits: gold(logits, log_p, alignment, names, merge=merge)
    if name.startswith("alm"):
        return lambda logits: alm(logits, log_p, alignment)
    tree = trie(student, teacher)
    if name == "marginal":
        target = marginal(log_p, alignment, tree)
    else:
        encode = text.view.encode
        predict = partial(_prefix_log_probs, text.truth)
        target = exact_marginal(predict, lambda piece: encode(piece.decode()), students, tree)
    target = target.clamp(min=FLOOR)
    return lambda logits: soft_targets(logits, target, alignment.student.mask)


def _prefix_log_probs(truth: Truth, prefixes: list[tuple[int, ...]]) -> Tensor:
    """(prefixes, V), the true log-probabilities of the token after each prefix."""
    view = truth.view
    width = max(map(len, prefixes)) + 1
    rows = [[view.eos, *ids, *[view.pad] * (width - 1 - len(ids))] for ids in prefixes]
    reading = truth.read(np.array(rows))
    last = np.array([len(ids) for ids in prefixes])
    found = reading.probabilities(np.arange(len(rows)), last)
    return torch.from_numpy(found).log()


def _lowest(loss: Callable[[Tensor], Tensor], log_p: Tensor, units: float) -> tuple[float, Tensor]:
    """The least loss found, and the student there as log-probabilities; each position has its own logits."""
    logits = log_p.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=STEPS, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(logits) * units  # a sum: each position's own problem, whatever the length of the text
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return float(loss(logits)), logits.log_softmax(-1)
