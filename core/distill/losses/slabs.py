"""The mean over unmasked tokens of a loss of whole distributions, computed in slabs of tokens, as in chunked losses.

Logits of 64 texts of 128 tokens with V = 4,096 take 128 MiB in float32, and autograd would keep five or more tensors
of that size. Here forward and backward run together on a slab that fits into a core's cache, so that only one such
tensor is made, the gradient; masked tokens are not computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...lm.precision import precise, wide
from .arguments import bool_mask, check_temperature, divisor, first, position_words

FLOOR = -1e36
"""Replaces log 0, since 0 · (log 0 − log 0) would be NaN. A loss that it makes larger than `INFINITE` is +∞."""
INFINITE = 1e20
ELEMENTS = {"cpu": 2**18, "cuda": 2**25}
"""Logits in a slab, by device: 1 MiB of float32, a core's second-level cache; on a GPU enough to occupy it."""


@dataclass(frozen=True)
class Slab:
    """Some of the tokens of a batch.

    Attributes:
        part: the index of the slab in tensors (batch, tokens, …) or (examples, …).
        mask: true where a token of that part counts; None where all do.
    """

    part: tuple[slice, ...]
    mask: Tensor | None

    def of(self, x: Tensor) -> Tensor:
        """The rows of these tokens: (batch, tokens, …) → (rows, …)."""
        x = x[self.part]
        return x.flatten(0, len(self.part) - 1) if self.mask is None else x[self.mask]

    def put(self, rows: Tensor, into: Tensor) -> None:
        """Write rows to the positions that `of` reads."""
        part = into[self.part]
        if self.mask is None:
            part.copy_(rows.view(part.shape))
        else:
            part[self.mask] = rows.to(into.dtype)

    def indices(self, row: int, shape: torch.Size) -> list[int]:
        """The indices of a row in tensors of that shape."""
        if self.mask is not None:
            at = self.mask.nonzero()[row].tolist()
        elif len(self.part) == 1:
            at = [row]
        else:
            start, stop, _ = self.part[1].indices(shape[1])
            at = list(divmod(row, stop - start))
        return [part.indices(n)[0] + i for part, n, i in zip(self.part, shape, at, strict=False)]


Loss = Callable[[Tensor, Slab], Tensor]
"""The student's log-probabilities (rows, vocabulary) and their slab → the loss at each row, (rows,)."""
Slope = Callable[[Tensor, Slab], tuple[Tensor, Tensor]]
"""The same, with the derivative by the logits of those log-probabilities, (rows, vocabulary); it may overwrite its
argument."""


class Compiled(Protocol):
    """A kernel: Σ loss over unmasked tokens of the student's logits, and the gradient of `weight` times it, if wanted."""

    def __call__(
        self,
        student_logits: Tensor,
        mask: Tensor | None,
        temperature: float,
        weight: float,
        /,
        *,
        gradient: bool,
        in_place: bool,
    ) -> tuple[float, Tensor | None]: ...


@precise
def mean_over_tokens(
    loss: Loss,
    student_logits: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    scale: float = 1.0,
    num_items: float | None = None,
    slope: Slope | None = None,
    compiled: Compiled | None = None,
    in_place: bool = False,
) -> Tensor:
    """scale · Σ loss / unmasked tokens, with its gradient.

    Negative values, which can only be rounding errors of a non-negative loss, count as 0.

    Args:
        loss: given the log-softmax of the student's logits / temperature, floored at `FLOOR`, in float32 at least.
        student_logits, mask, temperature, num_items: as in `forward_kl`.
        slope: `loss` with its derivative; autograd computes it if this is None.
        compiled: a kernel that computes the same, where there is one for these logits.
        in_place: its gradient may take the memory of the logits.
    Returns: scalar, in float32 unless the logits are float64; differentiable once.
    Raises ValueError: a temperature that is not above 0, a mask of another shape, or a negative num_items.
    """
    check_temperature(temperature)
    shape = student_logits.shape[:-1]
    mask = bool_mask(mask, shape)
    weight = scale / divisor(mask, shape, num_items)

    def sums(gradient: bool) -> tuple[Tensor | float, Tensor | None]:
        if compiled is not None:
            return compiled(student_logits, mask, temperature, weight, gradient=gradient, in_place=in_place)
        return _by_slabs(loss, slope, student_logits, mask, temperature, weight, gradient)

    if student_logits.requires_grad and torch.is_grad_enabled():
        value: Tensor = _Mean.apply(student_logits, sums, weight)  # type: ignore[no-untyped-call]
        return value
    with torch.no_grad():
        return _weighed(sums(False)[0], weight, student_logits)


def slabs(logits: Tensor, mask: Tensor | None) -> Iterator[Slab]:
    """All unmasked tokens of logits (batch, tokens, vocabulary) or (examples, classes), in order."""
    *shape, width = logits.shape
    most = max(1, ELEMENTS.get(logits.device.type, ELEMENTS["cpu"]) // max(width, 1))
    tokens = shape[1] if len(shape) > 1 else 1
    parts: list[tuple[slice, ...]]
    if tokens > most:
        parts = [
            (slice(b, b + 1), slice(t, t + most)) for b in range(shape[0]) for t in range(0, tokens, most)
        ]
    else:
        rows = max(1, most // max(tokens, 1))
        parts = [(slice(b, b + rows), slice(None))[: len(shape)] for b in range(0, shape[0], rows)]
    for part in parts:
        if mask is None or bool(mask[part].all()):
            yield Slab(part, None)
        elif bool(mask[part].any()):
            yield Slab(part, mask[part])


def log_probs(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log-softmax of logits / temperature in float32 at least, with `FLOOR` for −∞."""
    x = wide(logits)
    found = torch.log_softmax(x if temperature == 1 else x / temperature, -1)
    # The minimum shows in one pass whether any is −∞; it is NaN where there is a NaN, which clamp leaves alone.
    return found if found.numel() and bool(found.detach().amin() > -math.inf) else found.clamp(min=FLOOR)


def teacher_log_probs(teacher_logits: Tensor, slab: Slab, temperature: float) -> Tensor:
    """`log_probs` of the teacher at the tokens of a slab, detached.

    Raises ValueError: one of them has logits that are NaN or +∞, or nothing but −∞.
    """
    with torch.no_grad():
        found = log_probs(slab.of(teacher_logits), temperature)
    bad = first(found[:, 0].isnan())  # one NaN in the logits makes the whole row NaN
    if bad is not None:
        where = position_words(slab.indices(bad[0], teacher_logits.shape))
        raise ValueError(f"teacher_logits are no distribution at {where}: NaN, +∞, or nothing but −∞")
    return found


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, sums: Callable[[bool], tuple[Tensor | float, Tensor | None]], weight: float
    ) -> Tensor:
        total, gradient = sums(True)
        ctx.save_for_backward(gradient)
        return _weighed(total, weight, logits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        [g], (gradient,) = above, ctx.saved_tensors
        # Without a factor, as for a loss without others beside it, this saves a pass over the largest tensor.
        return (gradient if g.device.type == "cpu" and g == 1 else g * gradient), None, None


def _by_slabs(
    loss: Loss,
    slope: Slope | None,
    logits: Tensor,
    mask: Tensor | None,
    temperature: float,
    weight: float,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """Σ loss, and the gradient of `weight` times it, where one is wanted."""
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    gradient: Tensor | None = None
    if with_gradient:
        gradient = torch.empty_like(logits) if mask is None else torch.zeros_like(logits)
    for slab in slabs(logits, mask):
        if gradient is None:
            values = loss(log_probs(slab.of(logits), temperature), slab)
        else:
            if slope is None:
                values, of_x = _by_autograd(loss, logits, slab, temperature, weight)
            else:
                values, of_x = slope(log_probs(slab.of(logits), temperature), slab)
                of_x.mul_(weight / temperature)
            slab.put(of_x, gradient)
        total += _sum(values)
    return total, gradient


def _by_autograd(
    loss: Loss, logits: Tensor, slab: Slab, temperature: float, weight: float
) -> tuple[Tensor, Tensor]:
    """The loss at each token of a slab, and the gradient of weight times their sum."""
    with torch.enable_grad():
        x = slab.of(logits.detach()).requires_grad_()
        values = loss(log_probs(x, temperature), slab)
        (of_x,) = torch.autograd.grad(values, x, torch.full_like(values, weight))
    return values.detach(), of_x


def _sum(values: Tensor) -> Tensor:
    return values.clamp(min=0).sum(dtype=torch.float64)


def _weighed(total: Tensor | float, weight: float, logits: Tensor) -> Tensor:
    total = torch.as_tensor(total, dtype=torch.float64, device=logits.device)
    total = torch.where(total > INFINITE, math.inf, total)
    return (weight * total).to(wide(logits[:0]).dtype)
