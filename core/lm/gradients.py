"""The gradient of a batch that is computed in parts, several of them at once where there are cores, and its norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from .language_model import LanguageModel
from .not_finite import NotFinite
from .parallel import cores, each

Part = TypeVar("Part")
Known = TypeVar("Known")


def add_gradients(
    model: LanguageModel, parts: Sequence[Part], loss_of: Callable[[Part], tuple[Tensor, Known]]
) -> list[Known]:
    """Add the gradient of the sum of all parts' losses to `.grad` of the parameters.

    The order of addition depends on how many cores there are and on nothing else.

    `loss_of` takes a part to its loss and whatever else is to be known of it, which is returned, in the parts' order.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    device = parameters[0].device
    at_once = max(1, min(cores(device), len(parts)))

    def of_some(some: Sequence[Part]) -> tuple[list[Tensor | None], list[Known]]:
        total: list[Tensor | None] = [None] * len(parameters)
        others = []
        for part in some:
            with torch.enable_grad(), autocast(device):
                loss, known = loss_of(part)
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            del loss  # and with it what the forward pass has kept, whose memory the next part uses
            total = [_sum(a, b) for a, b in zip(total, found, strict=True)]
            others.append(known)
        return total, others

    results = each(of_some, [parts[i::at_once] for i in range(at_once)], device)
    for gradients, _ in results:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = _sum(parameter.grad, gradient)
    return [results[i % at_once][1][i // at_once] for i in range(len(parts))]


def clip(model: LanguageModel, most: float, step: int) -> float:
    """Clip the gradient to a norm of at most `most`; returns its norm before that. Raises NotFinite: it is not, at this step."""
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), most))
    if not math.isfinite(norm):
        bad = (n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all())
        raise NotFinite(f"the gradient of {next(bad, 'a parameter')} is not finite at step {step}")
    return norm


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for the products on a GPU; a CPU keeps float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """a + b, in a's memory, where there are both."""
    return b if a is None else a if b is None else a.add_(b)
