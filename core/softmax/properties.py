"""Properties measured by experiment: the logit at which an implementation overflows, how exact ⊕ is, and an exponential."""

from __future__ import annotations

import torch
from torch import Tensor

from ..trial import Refused
from .battery import Task
from .reference import Pair, merge

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def overflow_logit(task: Task, dtype: torch.dtype, device: torch.device) -> float | None:
    """The smallest x in `dtype` for which the row (x, 0) no longer comes out finite and right; None if all do.

    None too for what refuses a row of two.

    Found by bisection over the numbers of the dtype, of which the positive ones have the order of their bits. "Right"
    is loose, a relative error below √ε, because it looks for overflow and not for precision.
    """

    def is_right(bits: int) -> bool:
        x = torch.tensor([bits], dtype=_BITS[dtype.itemsize], device="cpu").view(dtype)
        row = torch.cat([x, torch.zeros_like(x)]).to(device)[None, :]
        result, truth = _values(task(row), task.output), _truth(row.double(), task.output)
        error = (result.double() - truth).abs() / truth.abs().clamp(min=1)
        return bool((error <= torch.finfo(dtype).eps ** 0.5).all())  # NaN is not

    largest = torch.tensor([torch.finfo(dtype).max], dtype=dtype, device="cpu").view(_BITS[dtype.itemsize])
    right, wrong = 0, int(largest)
    try:
        if is_right(wrong):
            return None
    except Refused:
        return None
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if is_right(middle):
            right = middle
        else:
            wrong = middle
    return float(torch.tensor([wrong], dtype=_BITS[dtype.itemsize], device="cpu").view(dtype))


def _values(result: object, output: str) -> Tensor:
    """The part of a result that is compared: of top-k the probabilities."""
    value = result[0] if output == "top-k" and isinstance(result, tuple | list) else result
    assert isinstance(value, Tensor)
    return value


def _truth(row: Tensor, output: str) -> Tensor:
    if output == "logsumexp":
        return torch.logsumexp(row, -1)
    return torch.log_softmax(row, -1) if output == "log-softmax" else torch.softmax(row, -1)


def merge_ulp(dtype: torch.dtype, seed: int, triples: int = 10_000) -> float:
    """How far (a ⊕ b) ⊕ c is from a ⊕ (b ⊕ c), and a ⊕ b from b ⊕ a, at worst over random triples.

    In `triples` m is normal with a standard deviation of 3, d uniform between 1 and 1000.
    Returns: the largest relative difference of d in units of the dtype's ε; infinity should ever an m differ,
    since maxima are exact.
    """
    generator = torch.Generator().manual_seed(seed)

    def pair() -> Pair:
        m = 3 * torch.randn(triples, generator=generator, dtype=torch.float64, device="cpu")
        d = 1 + 999 * torch.rand(triples, generator=generator, dtype=torch.float64, device="cpu")
        return m.to(dtype), d.to(dtype)

    a, b, c = pair(), pair(), pair()
    return max(
        _difference(merge(merge(a, b), c), merge(a, merge(b, c))),
        _difference(merge(a, b), merge(b, a)),
    )


def _difference(a: Pair, b: Pair) -> float:
    (m_a, d_a), (m_b, d_b) = a, b
    if not torch.equal(m_a, m_b):
        return float("inf")
    relative = ((d_a - d_b).abs() / torch.maximum(d_a, d_b)).max()
    return float(relative) / torch.finfo(d_a.dtype).eps


def exponential_error(mantissas: int = 1 << 14) -> float:
    """The largest relative error of the Numba kernels' e^a in float32.

    Over negative floats of every exponent, subnormal ones too, down to the last whose e^a is a normal number.

    Of each exponent so many `mantissas` are taken, evenly spread; 2^23 are all.
    """
    from .numba.exponential import exponentials_of

    worst = 0.0
    for exponent in range(134):  # biased: up to -2^7
        bits = (exponent << 23) + torch.arange(
            0, 1 << 23, (1 << 23) // mantissas, dtype=torch.int32, device="cpu"
        )
        a = -bits.view(torch.float32)
        truth = a.double().exp()
        found = torch.empty_like(a)
        exponentials_of(a.numpy(), found.numpy())
        is_normal = truth >= torch.finfo(torch.float32).tiny
        worst = max(worst, float(((found.double() - truth) / truth).abs().where(is_normal, 0).max()))
    return worst
