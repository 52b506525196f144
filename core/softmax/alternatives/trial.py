"""One point of an experiment about alternatives to softmax: a function on one matrix of logits.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ... import trial
from ..user_function import refusing, takes_dim
from .params import Params

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Params", "case"]

GRADIENT_ROWS = 8
"""Rows whose gradient is compared with float64."""


def case(params: Params, context: trial.Context) -> trial.Case:
    """One function on one matrix of normal logits, the same for all variants of a seed.

    Raises Refused: the function is unknown, or it is not said which one yours computes.
    """
    from ..battery import Task, check
    from ..trial import logits
    from .registry import find

    name = params.implementation or context.variant
    if ":" in name:
        if not params.computes:
            raise trial.Refused("say which function yours computes: -s computes=sparsemax, for one")
        yours, meant = context.load(name), find(params.computes)
        task = Task(params.computes, 1, refusing(yours), takes_dim(yours), meant.plain, meant.truth)
    else:
        meant = find(name)
        task = Task(name, 1, meant.function, True, meant.plain, meant.truth)
    x = logits(params.rows, params.columns, params.dtype, params.scale, context.seed, context.device)

    def call() -> object:
        return task(x)

    return trial.Case(
        call,
        lambda: check(task, x, stable=True) | _properties(task, x),
        {"bytes": 2.0 * x.nbytes, "elements": float(x.numel())},
    )


def _properties(function: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, float]:
    from . import properties

    weights = function(x)
    found = {
        "fading": properties.fading(function, x.shape[-1], x.dtype, x.device),
        "zeros": float((weights == 0).double().mean()),
        "total": float(weights.double().sum(-1).max()),  # the largest sum of a row
        "of_nothing": properties.of_nothing(function, x.dtype, x.device),
        "widest_ratio": properties.widest_ratio(function, x.device),
        "reductions": properties.reductions(lambda: function(x)),
        "grad_error": properties.gradient_error(function, x[:GRADIENT_ROWS]),
    }
    return {name: value for name, value in found.items() if value is not None}
