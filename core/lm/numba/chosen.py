"""The log-probability of one token of each row of logits, the entropy of the row's distribution, and the gradient.

With z = logits · sharpness, m = max z, s = Σ e^(z − m): log p_t = z_t − m − log s, and
H = −Σ p·log p = log s − Σ e^(z − m)·(z − m) / s.
"""

from __future__ import annotations

import numpy as np
from numba import float32

from ...compiled.exponential import exp
from ...compiled.kernel import kernel
from .rows import reordered

ZERO = float32(0.0)
LEAST = float32(-200.0)
"""Stands for less, and −∞: e^z is 0 there, and 0 · −∞ would be NaN."""


@reordered
def _sums(logits, i, m, sharpness):  # type: ignore[no-untyped-def]
    """Σ e^a and Σ e^a · a with a = (z − m) · sharpness."""
    total, weighted = ZERO, ZERO
    for j in range(logits.shape[1]):
        a = (logits[i, j] - m) * sharpness
        e = exp(a)
        total += e
        weighted += e * (LEAST if a < LEAST else a)
    return total, weighted


@kernel
def chosen(logits, tokens, sharpness, log_p, entropy, largest, log_sum):  # type: ignore[no-untyped-def]
    """Written: log_p, entropy, largest = max logits and log_sum = log s, (rows,) each.

    Args:
        logits: (rows, vocabulary) float32. tokens: (rows,) int64. sharpness: 1 / temperature.
    """
    rows, vocabulary = logits.shape
    sharpness = float32(sharpness)
    for i in range(rows):
        m = logits[i, 0]
        for j in range(vocabulary):
            m = logits[i, j] if logits[i, j] > m else m
        total, weighted = _sums(logits, i, m, sharpness)
        log_total = np.log(total)
        log_p[i] = (logits[i, tokens[i]] - m) * sharpness - log_total
        entropy[i] = log_total - weighted / total
        largest[i], log_sum[i] = m, log_total


@kernel
def chosen_backward(d_log_p, logits, tokens, sharpness, largest, log_sum, d_logits):  # type: ignore[no-untyped-def]
    """d_logits = d_log_p · (1 at the token − p) · sharpness."""
    rows, vocabulary = logits.shape
    sharpness = float32(sharpness)
    for i in range(rows):
        by, m, log_total = d_log_p[i] * sharpness, largest[i], log_sum[i]
        for j in range(vocabulary):
            d_logits[i, j] = -by * exp((logits[i, j] - m) * sharpness - log_total)
        d_logits[i, tokens[i]] += by
