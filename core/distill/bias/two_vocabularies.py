"""A teacher of pieces of words and a student of characters, both perfect: what a loss makes of the student."""

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
"""Of L-BFGS."""


@dataclass(frozen=True)
class Moved:
    """Where a loss leads a perfect student of characters.

    Attributes:
        units: spans, or characters, that the loss is a mean over, for each character.
        value: of the loss at the truth, a mean over its units.
        gain: how much lower it gets away from the truth, in the same unit; at least, since L-BFGS may find no lowest point.
        pull: ½·Σ|∂loss/∂logits| at the truth, for each character.
        bias: KL(q‖p) in nats for each character, q the student that L-BFGS makes of the truth p.
    """

    units: float
    value: float
    gain: float
    pull: float
    bias: float


def moved(name: str, text: Text) -> Moved:
    """A loss by its name in `names.TWO`, on the documents of a text of pieces."""
    characters, lengths = by_characters(text)
    pairs = [
        (
            tokens(row[1 : 1 + length], characters.view.pieces),
            tokens(pieces[1:], text.view.pieces),
        )
        for row, length, pieces in zip(characters.ids.tolist(), lengths, text.ids.tolist(), strict=True)
    ]
    words = name == "alm-words"
    alignment = align_batch(
        pairs, [word_ends(each.text, leading=False) for each, _ in pairs] if words else None
    )
    seen = alignment.student.mask
    loss = _loss(name, text, characters, alignment, [each for each, _ in pairs])
    log_p = characters.log_probs()
    units = float((seen if "marginal" in name else alignment.mask).sum())

    start = log_p.clone().requires_grad_()
    loss_at_truth = loss(start)
    (pull,) = torch.autograd.grad(loss_at_truth * units, start)
    value = max(0.0, loss_at_truth.item())  # of a loss that is never negative: rounding
    lowest, log_q = _lowered(loss, log_p, units)
    apart = (log_q.exp() * (log_q - log_p)).sum(-1)[seen].clamp(min=0)
    count = float(seen.sum())
    return Moved(
        units=units / count,
        value=value,
        gain=max(0.0, value - lowest),
        pull=float(pull.abs().sum()) / 2 / count,
        bias=float(apart.sum()) / count,
    )


def _loss(
    name: str, text: Text, characters: Text, alignment: Alignment, students: list[Tokens]
) -> Callable[[Tensor], Tensor]:
    """Of the student's logits."""
    student, teacher, told = characters.view.pieces, text.view.pieces, text.log_probs()
    if name == "uld":
        return lambda logits: uld(logits, told, alignment=alignment)
    if name in ("exact-string", "min-ed"):
        mapping = (exact_string if name == "exact-string" else min_ed)(student, teacher)
        return lambda logits: mapped_kl(logits, told, mapping, alignment=alignment)
    if name.startswith("gold"):
        names, merge = shared(student, teacher), name.removeprefix("gold-")
        return lambda logits: gold(logits, told, alignment, names, merge=merge)
    if name.startswith("alm"):
        return lambda logits: alm(logits, told, alignment)
    tree = trie(student, teacher)
    if name == "marginal":
        target = marginal(told, alignment, tree)
    else:
        target = exact_marginal(partial(_answers, text.truth), partial(_encoded, text), students, tree)
    target = target.clamp(min=FLOOR)
    return lambda logits: soft_targets(logits, target, alignment.student.mask)


def _encoded(text: Text, piece: bytes) -> list[int]:
    return text.view.encode(piece.decode())


def _answers(truth: Truth, beginnings: list[tuple[int, ...]]) -> Tensor:
    """(beginnings, V), what the truth says behind each."""
    view = truth.view
    width = max(map(len, beginnings)) + 1
    rows = [[view.eos, *ids, *[view.pad] * (width - 1 - len(ids))] for ids in beginnings]
    reading = truth.read(np.array(rows))
    last = np.array([len(ids) for ids in beginnings])
    found = reading.probabilities(np.arange(len(rows)), last)
    return torch.from_numpy(found).log()


def _lowered(loss: Callable[[Tensor], Tensor], log_p: Tensor, units: float) -> tuple[float, Tensor]:
    """The least value found, and the student there as log-probabilities: each position has logits of its own."""
    logits = log_p.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [logits],
        max_iter=STEPS,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(logits) * units  # a sum: each position's own problem, whatever the length of the text
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return float(loss(logits)), logits.log_softmax(-1)
