"""The kernels that a training needs, for who compiles them beforehand. Importing this loads nothing heavy.

One process compiles them all: two that compile some and load the rest may get other machine code for the same kernel, and
sums in another order, so that the first run on a machine would not repeat its own figures to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..compiled.switch import are_wanted
from ..trial import Kernel

if TYPE_CHECKING:
    from .model import Transformer

TOGETHER = "language model"
"""The word of all kernels that a training calls, those of losses too."""


def kernels_of_training() -> Sequence[Kernel]:
    """Those of sampling, and those of states and log-probabilities with their gradients; none where they are turned off."""
    if not are_wanted():
        return ()
    return (
        Kernel("sampling", TOGETHER, 12.0, _sample),
        Kernel("states and gradients", TOGETHER, 12.0, _learn),
    )


def _sample() -> None:
    from .generation import generate

    for temperature in (1.0, 0.0):
        generate(
            _model(),
            [[2, 3, 4], [5]],
            num_generations=2,
            max_new_tokens=3,
            eos=1,
            pad=0,
            temperature=temperature,
        )


def _learn() -> None:
    import torch

    from .scoring import joined, log_probs
    from .training import examples, learn

    learn(_model(), examples([([2, 3], [4, 1]), ([5], [6, 7, 1])], pad=0), 1)
    ids = torch.full((4, 2), 4, dtype=torch.int64, device="cpu")
    lengths = torch.full((4,), 2, dtype=torch.int64, device="cpu")
    with torch.no_grad():
        log_probs(_model(), joined([[2, 3, 4], [5, 6, 7]], ids, lengths, 0))


def _model() -> Transformer:
    from .model import Config, Transformer

    return Transformer(Config(vocabulary=8, context=8, d_model=16, layers=1, heads=2, kv_heads=1, d_ff=16))
