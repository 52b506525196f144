"""Character n-grams smoothed by Witten and Bell's method C (IEEE Trans. Inf. Theory 37(4), 1991).

    p(w | h) = (c(hw) + N(h) p(w | h′)) / (c(h) + N(h))

c counts, N(h) is how many different symbols have followed h, and h′ is h without its first symbol; before any of them all
symbols are as likely. What has never followed gets the share that new symbols had so far. A context that was never seen says
nothing: then p(w | h) = p(w | h′).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class _Level(NamedTuple):
    """Contexts of one length, sorted by their number: what followed how often.

    Attributes:
        grams, counts: context and symbol as one number, and c(hw).
        contexts, totals, distinct: the context's number, c(h) and N(h).
    """

    grams: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    distinct: np.ndarray


class NGram:
    """Counts of a text.

    Args:
        text: symbols, whole numbers below `symbols`. order: the longest gram.
    """

    def __init__(self, text: np.ndarray, order: int, symbols: int) -> None:
        self.symbols = symbols
        self.levels = [_level(numbers(text, k, symbols), symbols) for k in range(min(order, len(text)))]

    def log2(self, text: np.ndarray) -> np.ndarray:
        """The log-probability of each symbol after those before it, (symbols,); the first have shorter contexts."""
        p = np.full(len(text), 1 / self.symbols)
        for k, level in enumerate(self.levels):
            grams = numbers(text, k, self.symbols)
            contexts = grams // self.symbols
            seen = _found(level.grams, level.counts, grams)
            total = _found(level.contexts, level.totals, contexts)
            new = _found(level.contexts, level.distinct, contexts)
            known, here = total > 0, p[k:]
            here[known] = ((seen + new * here) / np.maximum(total + new, 1))[known]
        logs: np.ndarray = np.log2(p)
        return logs


def numbers(text: np.ndarray, before: int, symbols: int) -> np.ndarray:
    """Each symbol with so many before it as one number; (len(text) − before,)."""
    count = len(text) - before
    found = np.zeros(max(count, 0), dtype=np.int64)
    for place in range(before + 1 if count > 0 else 0):
        found = found * symbols + text[place : place + count]
    return found


def _level(grams: np.ndarray, symbols: int) -> _Level:
    distinct, counts = np.unique(grams, return_counts=True)
    contexts, first, followers = np.unique(distinct // symbols, return_index=True, return_counts=True)
    return _Level(distinct, counts, contexts, np.add.reduceat(counts, first), followers)


def _found(known: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted number, 0 where it is not known."""
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: np.ndarray = np.where(known[at] == wanted, values[at], 0)
    return found
