"""Traces in two alphabets of digits, as those of R1-Zero mix two languages (arXiv:2501.12948, §2.3.2).

    first       7+5=2,2+8=0,0+4=4       the digits of the prompt
    second      H+F=C,C+I=A,A+E=E
    mixed       7+5=2,C+I=A,0+4=4       each step in one of them, at random

The alphabet does not change the steps. The answer after the trace is always in the digits of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .problem import Mixture

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator


def in_second(rng: Generator, mixture: Mixture, leap: np.ndarray, steps: int) -> np.ndarray:
    """(traces, steps): whether each operation of each trace is written in the second alphabet.

    `leap` (traces,): whether a trace takes two operations to a step; both are in the same alphabet.
    """
    n = len(leap)
    mixed = rng.random(n) < mixture.mixed
    whole = rng.random(n) < mixture.second
    coin = rng.random((n, steps)) < 0.5
    second: np.ndarray = (mixed[:, None] & coin) | (~mixed & whole)[:, None]
    second[leap, 1::2] = second[leap, ::2][:, : steps // 2]
    return second


def written(trace: str, second: Sequence[bool], letters: Mapping[int, int]) -> str:
    """A trace with each of its steps in its alphabet.

    Args:
        second: for each step, whether it is in the second alphabet; may be longer than the trace.
        letters: the second alphabet, as `str.translate` takes it.
    """
    steps = zip(trace.split(","), second, strict=False)
    return ",".join(step.translate(letters) if other else step for step, other in steps)
