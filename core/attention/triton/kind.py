"""What a kernel is compiled for. It imports no Triton."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One constant of the kernels that stands for all of these.

    Attributes:
        D, D_V: the sizes of a row of Q and K, and of V and O.
        WIDTH, WIDTH_V: the powers of two, at least 16, that hold them.
        MASK: 0 for none, 1 for a boolean one, 2 for one that is added.
        LOW, HIGH: whether the band has a bound on that side.
        FOLDED: scores are Q·Kᵀ·scale and nothing else; then scale·log₂e is multiplied where a maximum is
            subtracted, which together is one instruction.
    """

    D: int
    D_V: int
    WIDTH: int
    WIDTH_V: int
    MASK: int = 0
    CAP: bool = False
    ALIBI: bool = False
    SINK: bool = False
    DROP: bool = False
    LOW: bool = False
    HIGH: bool = False
    FOLDED: bool = True
