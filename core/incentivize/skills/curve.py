"""How a skill grows in Nam et al., arXiv:2404.17563: the multilinear model's sigmoid, calibrated on a single skill.

Equation 11 with the exponent of Equations 13 and 14, in which a network's rate is a constant times the model's:

    R_k(T)/S = 1 / (1 + (S/R(0) − 1)·exp(−rate·P_s(k)·T))

The paper fits the rate's constant, B² = 1/22, to networks that are given one skill alone, and measures R(0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Of all skills.

    Attributes:
        start: R(0)/S, between 0 and 1.
        rate: growth in a step, of a skill that is in each sample: 2·η·B²·S, for a loss of half the squared error.
    """

    start: float
    rate: float

    def strength(self, steps: Any, frequency: float) -> np.ndarray:
        """R_k/S after so many steps of a skill with frequency P_s(k)."""
        grown = np.exp(-self.rate * frequency * np.asarray(steps, dtype=np.float64))
        strength: np.ndarray = 1 / (1 + (1 / self.start - 1) * grown)
        return strength

    def arrival(self, frequency: float, strength: float = 0.5) -> float:
        """The steps after which R_k/S is so high (Equation 40)."""
        return math.log((1 / self.start - 1) / (1 / strength - 1)) / (self.rate * frequency)


def fitted(steps: np.ndarray, strengths: np.ndarray, low: float = 0.05, high: float = 0.95) -> Curve:
    """To a skill that is in each sample: a line through log(R/S / (1 − R/S)) by least squares, from the first R/S above
    `low` to the first above `high`.

    Raises ValueError: it never gets above `low` for two evaluations, or does not grow.
    """
    above = np.flatnonzero(strengths > low)
    first = above[0] if len(above) else len(strengths)
    done = np.flatnonzero(strengths > high)
    last = done[0] if len(done) else len(strengths)
    # One evaluation before, and one after, where few lie between.
    part = slice(max(first - 1, 0), last + 1)
    r = np.clip(strengths[part], 1e-3, 1 - 1e-3)
    if first == len(strengths) or len(r) < 2:
        raise ValueError("the skill does not grow")
    rate, offset = np.polyfit(steps[part], np.log(r / (1 - r)), 1)
    if rate <= 0:
        raise ValueError("the skill does not grow")
    return Curve(float(1 / (1 + math.exp(-offset))), float(rate))
