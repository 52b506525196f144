"""A token out of a row of logits; see `generation.draw`, which it stands for."""

from __future__ import annotations

import math

from numba import float32

from ...compiled.exponential import exp2
from ...compiled.kernel import inlined
from .passes import LOG2_E, ZERO, summed


@summed
def _sum_of_exponentials(x, r, most):  # type: ignore[no-untyped-def]
    total = ZERO
    for i in range(x.shape[1]):
        total += exp2((x[r, i] - most) * LOG2_E)
    return total


@summed
def _entropy(log_p, r):  # type: ignore[no-untyped-def]
    """−Σ p·log p."""
    total = ZERO
    for i in range(log_p.shape[1]):
        total += exp2(log_p[r, i] * LOG2_E) * log_p[r, i]
    return -total


@inlined
def draw(logits, r, temperature, noise, r_noise):  # type: ignore[no-untyped-def]
    """(token, its log-probability, the entropy) of row r; its logits become log-probabilities.

    Args:
        logits: (rows, vocabulary).
        temperature: 0 takes the likeliest, with the log-probability it has at temperature 1.
        noise: (rows, vocabulary), logarithms of exponential draws, so −noise is Gumbel noise; not read with temperature 0.
    """
    size = logits.shape[1]
    if temperature != ZERO:
        for i in range(size):
            logits[r, i] /= temperature
    most = logits[r, 0]
    for i in range(1, size):
        most = logits[r, i] if logits[r, i] > most else most
    all_of_it = float32(math.log(_sum_of_exponentials(logits, r, most)))
    for i in range(size):
        logits[r, i] = logits[r, i] - most - all_of_it
    token, best = 0, logits[r, 0] if temperature == ZERO else logits[r, 0] - noise[r_noise, 0]
    for i in range(1, size):
        value = logits[r, i] if temperature == ZERO else logits[r, i] - noise[r_noise, i]
        if value > best:
            token, best = i, value
    return token, logits[r, token], _entropy(logits, r)
