"""`reverse`: a string of digits from its end to its beginning. A control: see `copying.py`."""

from __future__ import annotations

from collections.abc import Sequence

from .copying import over_strings
from .problem import Task


def reverse(
    base: Sequence[int] = (2, 5), train: Sequence[int] = (4, 6), harder: Sequence[int] = (7, 8)
) -> Task:
    """The task; `base`, `train` and `harder` are the smallest and the largest length of the string.

    Raises ValueError: one of them is not two whole numbers, in order and at least 1.
    """
    return over_strings("reverse", lambda string: string[::-1], base, train, harder)
