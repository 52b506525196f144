"""Environment variables that choose how a run computes."""

from __future__ import annotations

from ..compiled.switch import are_wanted
from ..experiment.mistakes import Mistake, Mistakes, Position
from ..measure.fastest_products import setting
from .schedule import method


def check_variables() -> None:
    """Raises Mistakes: $LAB_START, $LAB_PRODUCTS or $LAB_LM_KERNELS is none of its values."""
    method()
    try:
        setting(), are_wanted()
    except ValueError as error:
        raise Mistakes([Mistake(Position("environment"), str(error))]) from None
