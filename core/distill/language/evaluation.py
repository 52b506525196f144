"""A model's exact distance from the truth: sums over the vocabulary are computed, only contexts are sampled.

Views are compared in bits per character: the sum over tokens, divided by the characters of these tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from .hmm import MARK, Language
from .truth import Reading, Truth

BINS = 15
"""Bins of confidence, for the calibration error (Guo et al. 2017, arXiv:1706.04599, §2)."""

AT_ONCE = 2**18
"""Numbers of a table that are computed at once: they fit into the processor's cache, which is several times faster."""


@dataclass(frozen=True, eq=False)
class Figures:
    """Sums over predicted tokens, which add up over batches, and the measures computed from them.

    Attributes:
        tokens, characters: predicted; a token counts where its distribution is defined.
        total_kl: KL(p‖q) in nats, p the truth.
        total_reverse_kl: KL(q̃‖p) in nats, q̃ what q gives to possible tokens, made to sum to 1; KL(q‖p) is infinite
            for every model that gives anything to others.
        total_entropy: of p, in nats.
        total_nll: −log q of the tokens that stand there, in nats.
        total_invalid: probability under q of tokens that cannot follow.
        bins: (BINS, 3) of each bin of confidence the tokens, the sum of confidences, max q, and the sum of p there.
    """

    tokens: int
    characters: int
    total_kl: float
    total_reverse_kl: float
    total_entropy: float
    total_nll: float
    total_invalid: float
    bins: Tensor

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def calibration_error(self) -> float:
        """The mean over bins of |confidence in the likeliest token − its true probability|, weighted by tokens.

        It uses the true probability p itself, in place of the share of sampled tokens that are right.
        """
        _, confidence, truth = self.bins.T
        return float((confidence - truth).abs().sum()) / self.tokens

    @property
    def over_confidence(self) -> float:
        """Mean confidence in the likeliest token less its true probability; below 0 for an under-confident model."""
        _, confidence, truth = self.bins.T
        return float((confidence - truth).sum()) / self.tokens

    def measures(self) -> dict[str, float]:
        """By name: nats per token, and with `_bits` bits per character; the rest are shares.

        `kl`, `reverse_kl`, `entropy`, `cross_entropy` (of p and q, so `kl` + `entropy`), `nll`, `calibration_error`,
        `over_confidence`, `invalid_mass`.
        """
        nats = {
            "kl": self.total_kl,
            "reverse_kl": self.total_reverse_kl,
            "entropy": self.total_entropy,
            "cross_entropy": self.total_kl + self.total_entropy,
            "nll": self.total_nll,
        }
        characters = self.characters or math.nan  # a model may have written nothing but `<eos>`
        return {
            **{name: total / self.tokens for name, total in nats.items()},
            **{f"{name}_bits": total / characters / math.log(2) for name, total in nats.items()},
            "calibration_error": self.calibration_error,
            "over_confidence": self.over_confidence,
            "invalid_mass": self.total_invalid / self.tokens,
        }


def figures(reading: Reading, logits: Tensor, rows: slice = slice(None)) -> Figures:
    """The figures of a model on documents.

    Args:
        logits: (rows, tokens, V) of what follows each token, as a model gives them; log-probabilities are logits too.
        rows: of the reading, those that the logits are of.
    Raises ValueError: logits of another shape, or no token whose distribution is defined.
    """
    ids, size = reading.ids[rows], reading.truth.view.size
    if logits.shape != (*ids.shape, size):
        raise ValueError(f"logits are {tuple(logits.shape)}; ids and vocabulary make it {(*ids.shape, size)}")
    # The last column predicts a token that is not in the documents.
    mask = reading.possible[rows, :-1].numpy() & reading.real[rows, 1:]
    row, column = mask.nonzero()
    if not len(row):
        raise ValueError("no token here has a distribution that is defined")
    numbers = np.arange(len(reading.ids))[rows]
    found = []
    at_once = max(1, AT_ONCE // size)
    for start in range(0, len(row), at_once):
        some = slice(start, start + at_once)
        p = reading.probabilities(numbers[row[some]], column[some])
        targets = ids[row[some], column[some] + 1]
        here = torch.from_numpy(row[some]), torch.from_numpy(column[some])
        lengths = reading.truth.view.lengths[targets]
        found.append(_figures(p, logits.detach()[here], torch.from_numpy(targets), int(lengths.sum())))
    return sum(found[1:], found[0])


def _figures(truth: np.ndarray, logits: Tensor, targets: Tensor, characters: int) -> Figures:
    """The figures for true probabilities (tokens, V), a model's logits (tokens, V) and the text's tokens."""
    device = logits.device
    p = torch.from_numpy(truth).to(device)
    can = p > 0
    # 0 in the place of −∞, which a probability of 0 would be multiplied with.
    log_p = torch.from_numpy(np.log(np.where(truth > 0, truth, 1.0))).to(device)
    log_q = logits.double().log_softmax(-1)
    q = log_q.exp()
    # Infinite where a model excludes what can follow: then so is KL(p‖q), while in KL(q̃‖p) it counts for nothing.
    gap = torch.where(can, log_p - log_q, 0.0)
    kept = torch.where(can, q, 0.0)
    valid = kept.sum(-1)
    reverse = -(kept * gap).nan_to_num(nan=0.0).sum(-1) / valid - valid.log()
    confidence, likeliest = q.max(-1)
    sure = p.gather(-1, likeliest[:, None]).squeeze(-1)
    bins = torch.zeros(BINS, 3, dtype=torch.float64, device=device)
    which = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    bins.index_add_(0, which, torch.stack([torch.ones_like(confidence), confidence, sure], 1))
    return Figures(
        tokens=len(targets),
        characters=characters,
        total_kl=float((p * gap).sum()),
        total_reverse_kl=float(reverse.sum()),
        total_entropy=-float((p * log_p).sum()),
        total_nll=-float(log_q.gather(-1, targets.to(device)[:, None]).sum()),
        total_invalid=float(torch.where(can, 0.0, q).sum()),
        bins=bins.cpu(),
    )


@torch.inference_mode()
def evaluate(truth: Truth, ids: Tensor, model: Callable[[Tensor], Tensor], batch: int = 32) -> Figures:
    """The figures of a model, computed `batch` documents at a time.

    Args:
        ids: (documents, tokens), `<eos>` first, padded behind the end.
        model: ids to logits.
    Raises ValueError: what `Truth.read` and `figures` refuse, or no documents.
    """
    reading = truth.read(ids)
    blocks = [slice(first, first + batch) for first in range(0, len(ids), batch)]
    if not blocks:
        raise ValueError("there are no documents")
    first, *others = (figures(reading, model(ids[block]), block) for block in blocks)
    return sum(others, first)


def invalid_words(language: Language, texts: Sequence[str]) -> tuple[int, int]:
    """The number of words in generated texts that the language lacks, and the number of words.

    A last word without its mark counts where no word begins like it; else it is unfinished, and left out.
    """
    known = language.number
    beginnings = {word[:end] for word in known for end in range(len(word) + 1)}
    wrong = words = 0
    for text in texts:
        *whole, rest = text.split(MARK)
        unfit = rest not in beginnings
        wrong += sum(word not in known for word in whole) + unfit
        words += len(whole) + unfit
    return wrong, words
