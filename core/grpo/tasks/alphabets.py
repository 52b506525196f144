"""Traces in two alphabets of digits, as those of R1-Zero mix two languages (arXiv:2501.12948, §2.3.2).

    first       7+5=2,2+8=0,0+4=4       the digits of the prompt
    second      H+F=C,C+I=A,A+E=E
    mixed       7+5=2,C+I=A,0+4=4       each step in either of them, by the toss of a coin

Whatever its alphabet, a trace says the same, and the answer behind it is in the digits of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .problem import Mixture

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator


def in_second(rng: Generator, mixture: Mixture, leap: np.ndarray, steps: int) -> np.ndarray:
    """For each operation of each trace, whether the second alphabet writes it: (traces, steps).

    Args:
        leap: (traces,), which take two operations to a step; both of them are in one alphabet.
    """
    n = len(leap)
    mixed = rng.random(n) < mixture.mixed
    whole = rng.random(n) < mixture.second
    coin = rng.random((n, steps)) < 0.5
    second: np.ndarray = (mixed[:, None] & coin) | (~mixed & whole)[:, None]
    second[leap, 1::2] = second[leap, ::2][:, : steps // 2]
    return second


def written(trace: str, second: Sequence[bool], letters: Mapping[int, int]) -> str:
    """A trace with each of its steps in the alphabet drawn for it.

    Args:
        second: for each step, or more.
        letters: the second alphabet, as `str.translate` takes it.
    """
    steps = zip(trace.split(","), second, strict=False)
    return ",".join(step.translate(letters) if other else step for step, other in steps)
