"""Several networks of one hidden layer, trained side by side: a bank. Each learns as it would alone.

    f(x) = W₂ · relu(W₁ · x + b₁) + b₂

Narrower ones have the units that they lack held at zero, which get no gradient then.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bank:
    """Networks.

    Attributes:
        weights: W₁ (networks, inputs, width), b₁ (networks, 1, width), W₂ (networks, width, outputs) and
            b₂ (networks, 1, outputs).
        units: which hidden units a network has, (networks, 1, width).
    """

    weights: tuple[Tensor, Tensor, Tensor, Tensor]
    units: Tensor

    def outputs(self, inputs: Tensor) -> Tensor:
        """(samples, inputs), the same for all, or (networks, samples, inputs), to (networks, samples, outputs)."""
        w1, b1, w2, b2 = self.weights
        hidden = torch.relu(inputs @ w1 + b1) * self.units
        return hidden @ w2 + b2


def bank(widths: list[int], inputs: int, outputs: int, spread: float, generator: torch.Generator) -> Bank:
    """All weights and biases are normal with a standard deviation of `spread`, as in Nam et al., App. K.1. A unit begins with
    the same weights in each network that has it."""
    device, widest = generator.device, max(widths)

    def normal(*shape: int) -> Tensor:
        one = torch.randn(shape, generator=generator, dtype=torch.float32, device=device) * spread
        return one.repeat(len(widths), 1, 1).requires_grad_()

    weights = (normal(inputs, widest), normal(1, widest), normal(widest, outputs), normal(1, outputs))
    has = torch.arange(widest, device=device) < torch.tensor(widths, device=device)[:, None]
    return Bank(weights, has[:, None].float())


def loss(outputs: Tensor, labels: Tensor, taught: Tensor, scale: float) -> Tensor:
    """The sum over networks of half the mean squared error, of each output that is taught.

    Args:
        outputs: (networks, samples, outputs).
        labels: ±1, (samples, outputs) or (networks, samples, outputs).
        taught: the weight of each, (networks, samples, outputs) or what broadcasts to it; 0 is not taught.
        scale: S; ±S is what the outputs are to be.
    """
    error = (outputs - scale * labels).square() * taught
    return error.sum() / (2 * outputs.shape[1])


def score(outputs: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of one output, over the last axis: strength E[g f]/S, accuracy, and −log₂ of the probability of the label.

    With a squared loss f/S is a forecast of 2p − 1; as a probability it is held a thousandth away from 0 and 1.
    """
    margin = outputs * labels / scale
    probability = ((1 + margin) / 2).clamp(1e-3, 1 - 1e-3)
    return margin.mean(-1), (margin > 0).float().mean(-1), -probability.log2().mean(-1)
