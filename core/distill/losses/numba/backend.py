"""Tensors in, the sum of a loss over tokens and its gradient out, by the compiled kernels.

The first call compiles, for some seconds, and keeps the result in the cache folder for later processes. Rows may lie
anywhere; a vocabulary with gaps is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ....addresses import are_functional, have_addresses, have_tangents
from ....compiled.threads import on_threads
from ....lm.compiled_or_torch import compiled
from ..arguments import position_words

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, Any]

Sums = tuple[float, Tensor | None]
"""Σ loss over the unmasked tokens, and the gradient of `weight` times it, where one is wanted."""
WORTH_A_THREAD = 1 << 17
"""Logits, some 100 µs of work."""


def can_take(student_logits: Tensor, teacher_logits: Tensor | None = None) -> bool:
    """Whether the kernels compute this: float32 on the CPU, whatever the teacher's dtype, and nothing that records."""
    both = [student_logits] if teacher_logits is None else [student_logits, teacher_logits]
    return (
        bool(student_logits.numel())
        and have_addresses(*both)
        and not are_functional(*both)
        and not have_tangents(*both)
        and all(x.is_cpu for x in both)
        and compiled(student_logits)
    )


def divergence(
    name: str,
    share: float,
    teacher_logits: Tensor,
    student_logits: Tensor,
    mask: Tensor | None,
    temperature: float,
    weight: float,
    *,
    gradient: bool,
    in_place: bool = False,
) -> Sums:
    """One of `response`'s divergences; the arguments are those of `mean_over_tokens`, `share` is β or λ.

    Raises ValueError: a teacher that is no distribution (the message says where).
    """
    t, t_at = _rows(teacher_logits.detach().to(student_logits.dtype), mask)
    bad: list[int] = []

    def rows(
        z: Numbers, z_at: Numbers, g: Numbers, g_at: Numbers, values: Numbers, first: int, last: int
    ) -> None:
        kernels = _kernels()
        kind, V = getattr(kernels, name.upper()), student_logits.shape[-1]
        row = kernels.divergence(
            kind,
            float(share),  # of a whole number there would be another kernel to compile
            z,
            z_at,
            t,
            t_at,
            g,
            g_at,
            values,
            V,
            1 / temperature,
            weight / temperature,
            first,
            last,
        )
        if row >= 0:
            bad.append(row)

    sums = _summed(rows, student_logits, mask, gradient, in_place)
    if bad:
        shape = student_logits.shape[:-1]
        at = torch.ones(shape, dtype=torch.bool, device="cpu") if mask is None else mask
        where = position_words(at.nonzero()[min(bad)].tolist())
        raise ValueError(f"teacher_logits are no distribution at {where}: NaN, +∞, or nothing but −∞")
    return sums


def sparse_kl(
    ids: Tensor,
    weights: Tensor,
    student_logits: Tensor,
    mask: Tensor | None,
    temperature: float,
    weight: float,
    *,
    gradient: bool,
    in_place: bool = False,
) -> Sums:
    """KL(w‖q_T), w the weights at ids and 0 elsewhere, both (batch, tokens, k) or (examples, k)."""
    ids, weights = (
        x.detach().flatten(0, -2) if mask is None else x.detach()[mask] for x in (ids.long(), weights.float())
    )
    i, w = ids.contiguous().numpy(), weights.contiguous().numpy()

    def rows(
        z: Numbers, z_at: Numbers, g: Numbers, g_at: Numbers, values: Numbers, first: int, last: int
    ) -> None:
        V = student_logits.shape[-1]
        _kernels().sparse_kl(
            z, z_at, i, w, g, g_at, values, V, 1 / temperature, weight / temperature, first, last
        )

    return _summed(rows, student_logits, mask, gradient, in_place)


def _summed(
    rows: Callable[[Numbers, Numbers, Numbers, Numbers, Numbers, int, int], None],
    logits: Tensor,
    mask: Tensor | None,
    gradient: bool,
    in_place: bool,
) -> Sums:
    """Run a kernel over all unmasked rows, on as many threads as torch has and there is work for.

    `in_place`: the gradient may take the memory of the logits; the kernels read a row before they write it.
    """
    import numpy as np

    logits = logits.detach()
    z, z_at = _rows(logits, mask)
    found: Tensor | None = None
    if gradient and in_place and mask is None and logits.is_contiguous():
        found = logits
    elif gradient:
        make = torch.empty if mask is None else torch.zeros
        found = make(logits.shape, dtype=logits.dtype, device=logits.device)
    g, g_at = (z[:0], z_at[:0]) if found is None else _rows(found, mask)
    count = len(z_at)
    values = np.empty(count)
    threads = max(1, min(torch.get_num_threads(), count, count * logits.shape[-1] // WORTH_A_THREAD))
    cuts = [count * i // threads for i in range(threads + 1)]
    on_threads(lambda i: rows(z, z_at, g, g_at, values, cuts[i], cuts[i + 1]), threads)
    # Added up here and in their order, so that the sum does not depend on the threads.
    return float(np.maximum(values, 0).sum()), found


def _rows(x: Tensor, mask: Tensor | None) -> tuple[Numbers, Numbers]:
    """(numbers, starts): the logits of an unmasked token begin at numbers[starts[r]]."""
    *shape, _ = x.shape
    if x.stride(-1) != 1:
        x = x.contiguous()
    starts = torch.zeros((), dtype=torch.int64, device="cpu")
    for size, stride in zip(shape, x.stride(), strict=False):
        starts = starts.unsqueeze(-1) + torch.arange(size, device="cpu") * stride
    starts = starts.flatten() if mask is None else starts[mask]
    reach = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return x.as_strided((reach,), (1,)).numpy(), starts.numpy()


@cache
def _kernels() -> Any:
    from . import rows

    return rows
