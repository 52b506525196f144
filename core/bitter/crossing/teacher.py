"""The target: y = √(1−λ) local(x) + √λ nonlocal(x), x of 32 independent normal numbers on a circle.

    local(x)     Σ_c s_c mean_p ReLU(w_c · x[p … p+window−1]), less its mean, over its standard deviation
    nonlocal(x)  Σ_i a_i x_i x_(i+16), Σ a² = 1

Both have variance 1. No window holds both inputs of a pair, so a pair's product is uncorrelated with every function of one
window, whatever it is: what sums such functions, as a convolution with a mean and a locally connected layer do, has an error
of λ at least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INPUTS = 32
PAIRS = INPUTS // 2


@dataclass(frozen=True)
class Teacher:
    """A draw of the target.

    Attributes:
        filters: w, (filters, window). signs: s, (filters,). pairs: a, (16,).
    """

    filters: np.ndarray
    signs: np.ndarray
    pairs: np.ndarray

    def target(self, x: np.ndarray, share: float) -> np.ndarray:
        """y (samples,) of inputs (samples, 32); `share` is λ."""
        found: np.ndarray = (1 - share) ** 0.5 * self.local(x) + share**0.5 * self.nonlocal_(x)
        return found

    def local(self, x: np.ndarray) -> np.ndarray:
        mean, variance = self._moments()
        seen = np.maximum(x[:, windows(self.filters.shape[1])] @ self.filters.T, 0).mean(1) @ self.signs
        found: np.ndarray = (seen - mean) / variance**0.5
        return found

    def nonlocal_(self, x: np.ndarray) -> np.ndarray:
        found: np.ndarray = (x[:, :PAIRS] * x[:, PAIRS:]) @ self.pairs
        return found

    def _moments(self) -> tuple[float, float]:
        """Mean and variance of the local part before it is standardised, exactly.

        E ReLU(u) ReLU(v) = |u||v| (√(1−ρ²) + ρ (π − arccos ρ)) / 2π for normal u, v of correlation ρ: the arc-cosine kernel of
        degree 1 (Cho & Saul 2009, Eqs 3 and 6). By symmetry only the windows of one place are needed on one side.
        """
        count, window = self.filters.shape
        rows = np.zeros((INPUTS, count, INPUTS))
        for place, inputs in enumerate(windows(window)):
            rows[place][:, inputs] = self.filters
        here = rows[0]
        norms = np.linalg.norm(here, axis=1)
        correlation = (rows @ here.T / np.outer(norms, norms)).clip(-1, 1)
        angle = np.sqrt(1 - correlation**2) + correlation * (np.pi - np.arccos(correlation))
        products = (np.outer(norms, norms) * angle).mean(0) / (2 * np.pi)
        mean = float(self.signs @ norms) / (2 * np.pi) ** 0.5
        return mean, float(self.signs @ products @ self.signs) - mean**2


def windows(width: int) -> np.ndarray:
    """(32, width): the inputs of the window that begins at each place of the circle."""
    found: np.ndarray = (np.arange(INPUTS)[:, None] + np.arange(width)) % INPUTS
    return found


def teacher(seed: int, filters: int, window: int) -> Teacher:
    """A draw: filters, their signs and pairs are normal."""
    random = np.random.default_rng([seed, 0])
    w, signs = random.standard_normal((filters, window)), random.standard_normal(filters)
    pairs = random.standard_normal(PAIRS)
    return Teacher(w, signs, pairs / np.linalg.norm(pairs))


def inputs(seed: int, count: int, *, new: bool) -> np.ndarray:
    """(count, 32) to learn from, of which fewer are the first ones; `new`: to judge by."""
    return np.random.default_rng([seed, 1 + new]).standard_normal((count, INPUTS))
