"""Encodings of positions by name."""

from __future__ import annotations

from collections.abc import Callable

from . import absolute, biases, grid, longer_rotary, own_places, rotary
from .interface import Encoding, Sizes
from .names import check_name

ENCODINGS: dict[str, Callable[[Sizes], Encoding]] = {
    "none": lambda sizes: Encoding(),
    "integer": absolute.integer,
    "binary": absolute.binary,
    "sinusoidal": absolute.sinusoidal,
    "learned": absolute.learned,
    "t5": biases.t5,
    "alibi": biases.alibi,
    "rope": rotary.rope,
    "partial-rope": rotary.partial_rope,
    "rope-pi": longer_rotary.interpolated,
    "rope-ntk": longer_rotary.ntk,
    "rope-yarn": longer_rotary.yarn,
    "randomised": own_places.randomised,
    "random-start": own_places.random_start,
    "coupled": own_places.coupled,
    "axial": grid.axial,
    "mixed": grid.mixed,
}


def encoding(name: str, sizes: Sizes) -> Encoding:
    """Raises ValueError: there is none of this name, or it does not fit to the sizes."""
    return ENCODINGS[check_name(name)](sizes)
