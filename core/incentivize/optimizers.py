"""SGD and Adam on a few tensors. Those of torch.optim import a compiler when first used, which takes longer than a training here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[[float], None]
"""One step with this learning rate; gradients are dropped."""


def sgd(weights: Sequence[Tensor]) -> Step:
    """w ← w − η·g, without momentum or decay."""

    def step(lr: float) -> None:
        with torch.no_grad():
            for weight in weights:
                if weight.grad is not None:
                    weight.sub_(weight.grad, alpha=lr)
                    weight.grad = None

    return step


def adam(weights: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> Step:
    """Kingma & Ba (arXiv:1412.6980), Algorithm 1, without decay."""
    means = [torch.zeros_like(weight) for weight in weights]
    squares = [torch.zeros_like(weight) for weight in weights]
    first, second = betas
    steps = 0

    def step(lr: float) -> None:
        nonlocal steps
        steps += 1
        of_mean, of_square = 1 - first**steps, 1 - second**steps
        with torch.no_grad():
            for weight, mean, square in zip(weights, means, squares, strict=True):
                if weight.grad is None:
                    continue
                mean.lerp_(weight.grad, 1 - first)
                square.mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
                weight.addcdiv_(mean, (square / of_square).sqrt_().add_(epsilon), value=-lr / of_mean)
                weight.grad = None

    return step


OPTIMIZERS = {"sgd": sgd, "adam": adam}
