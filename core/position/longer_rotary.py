"""Rotary positions of a model that was trained on shorter texts, changed so that longer ones turn by angles it has seen.

`factor` is s = context / trained: how many times longer texts may be than those of training.
"""

from __future__ import annotations

import math

import torch

from .interface import Encoding, Sizes
from .rotary import frequencies, turning_by


def interpolated(sizes: Sizes, factor: float | None = None) -> Encoding:
    """Position interpolation: every angle is divided by the factor (Chen et al., arXiv:2306.15595, eq. 4)."""
    frequency = frequencies(sizes.head_dim, sizes.theta)
    return Encoding(rotation=turning_by(frequency / factor_of(sizes, factor)))


def ntk(sizes: Sizes, factor: float | None = None) -> Encoding:
    """NTK-aware: theta grows by factor^(d/(d−2)), so that the lowest frequency is divided by the factor, and the highest
    stays (Peng et al., YaRN, arXiv:2309.00071, §3.1, eq. 16)."""
    s, d = factor_of(sizes, factor), sizes.head_dim
    if d < 4:
        raise ValueError(
            f"rope-ntk: head_dim is {d}; with one pair its first frequency would also be its last"
        )
    return Encoding(rotation=turning_by(frequencies(d, sizes.theta * s ** (d / (d - 2)))))


def yarn(sizes: Sizes, factor: float | None = None, slow: float = 1.0, fast: float = 32.0) -> Encoding:
    """YaRN: frequencies that turn fewer than `slow` times within the trained length are divided by the factor, those that
    turn more than `fast` times stay, and a ramp lies between (NTK-by-parts; α and β). Scores are multiplied by
    (0.1·ln s + 1)² (Peng et al., arXiv:2309.00071, §3.2 and §3.4, eqs. 17–22).
    """
    s, frequency = factor_of(sizes, factor), frequencies(sizes.head_dim, sizes.theta)
    turns = sizes.seen * frequency / (2 * math.pi)
    kept = torch.clamp((turns - slow) / (fast - slow), 0, 1)
    return Encoding(
        rotation=turning_by(frequency * (kept + (1 - kept) / s), magnitude=0.1 * math.log(max(1.0, s)) + 1)
    )


def factor_of(sizes: Sizes, factor: float | None) -> float:
    """The factor, or context / trained where none is given. Raises ValueError: it is not above 0."""
    found = sizes.context / sizes.seen if factor is None else factor
    if not (found > 0 and math.isfinite(found)):
        raise ValueError(f"factor is {found:g}; it must be above 0")
    return found
