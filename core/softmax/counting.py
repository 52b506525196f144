"""Counting what an algorithm touches, by running it: loads, stores and exponentials.

    counts = count(reference.safe, x, y)
    (counts.loads + counts.stores) / len(x)      # 4.0

Nothing is derived from a formula. The rows handed to the algorithm count each access, and the numbers they hand out
count each exponential that is taken of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from . import arithmetic


@dataclass(frozen=True)
class Counts:
    """What one run touched, in elements.

    Attributes:
        loads: reads of an element of any row.
        stores: writes of an element of any row, results included.
        exps: exponentials taken.
    """

    loads: int
    stores: int
    exps: int


def count(algorithm: Callable[..., object], *rows: Sequence[float]) -> Counts:
    """Run `algorithm(*rows)` on copies of the rows that count.

    Args:
        algorithm: one of `reference`, or anything that only indexes its arguments.
        rows: the rows that it takes, in its order; those it only writes may hold anything.
    """
    tally = _Tally()
    algorithm(*(_CountingRow(row, tally) for row in rows))
    return Counts(tally.loads, tally.stores, tally.exps)


@dataclass
class _Tally:
    loads: int = 0
    stores: int = 0
    exps: int = 0


class _CountingRow:
    """A row of floats that counts its accesses."""

    def __init__(self, values: Sequence[float], tally: _Tally) -> None:
        self._values, self._tally = list(values), tally

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, j: int) -> _CountedNumber:
        self._tally.loads += 1
        return _CountedNumber(self._values[j], self._tally)

    def __setitem__(self, j: int, value: float) -> None:
        self._tally.stores += 1
        self._values[j] = float(value)


class _CountedNumber(float):
    """A float from a counting row; so are its differences and multiples, because softmax takes e^ of these."""

    _tally: _Tally

    def __new__(cls, value: float, tally: _Tally) -> Self:
        number = super().__new__(cls, value)
        number._tally = tally
        return number

    def __sub__(self, other: float) -> _CountedNumber:
        return _CountedNumber(float(self) - float(other), self._tally)

    def __rsub__(self, other: float) -> _CountedNumber:
        return _CountedNumber(float(other) - float(self), self._tally)

    def __mul__(self, other: float) -> _CountedNumber:
        return _CountedNumber(float(self) * float(other), self._tally)

    __rmul__ = __mul__

    def exp(self) -> float:
        self._tally.exps += 1
        return float(arithmetic.exp(float(self)))
