"""Products in which what a row may not see counts nothing, though it be NaN or infinite.

A hidden key has the probability 0, and 0 times a finite number is nothing; but 0·NaN is NaN, in P·V of the forward pass
and in dSᵀ·Q, dS·K and Pᵀ·dO of the backward pass, and one bad number behind a mask would spoil every row. These products
cost several times the plain ones. So attention is first computed plainly, and computed again with them only where
`can_leak` and not `all_finite` say that something got through.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .band import Band

# ruff: noqa: E741 — O is the paper's symbol


def can_leak(mask: Tensor | None, place: Band) -> bool:
    """Whether a row may be kept from seeing a key at all."""
    return mask is not None or not place.is_everything


def all_finite(*tensors: Tensor | None) -> bool:
    """Whether no number is NaN or infinite: a walk over each, and one question to a GPU.

    By sums, which are so much cheaper than a look at each number. A sum of finite numbers that overflows says no as well,
    and costs time, nothing else.
    """
    present = [x for x in tensors if x is not None and x.numel()]
    sums = [x.detach().sum(dtype=torch.promote_types(x.dtype, torch.float32)) for x in present]
    return not sums or math.isfinite(sum(sums[1:], start=sums[0]).item())


def may_overflow(*factors: Tensor, terms: int) -> bool:
    """Whether a sum of so many products, with one number of each of `factors`, may be beyond their dtype."""
    return not largest_sum(*factors, terms=terms) <= torch.finfo(factors[0].dtype).max


def largest_sum(*factors: Tensor, terms: int) -> float:
    """A bound of the size of a sum of so many products, with one number of each of `factors`: 0 of nothing."""
    if not all(x.numel() for x in factors):
        return 0.0
    wide = torch.promote_types(factors[0].dtype, torch.float32)
    largest = [torch.linalg.vector_norm(x.detach(), math.inf, dtype=wide).double() for x in factors]
    return float(math.prod(largest[1:], start=largest[0])) * terms


def seen_product(P: Tensor, V: Tensor, seen: Tensor) -> Tensor:
    """P V, (…, rows, columns) of probabilities times (…, columns, ·), of the terms that are seen alone.

    Where V is infinite at a seen place the result is, where it is NaN or infinite both ways it is NaN: though P be 0 there
    by rounding.
    """
    O = P.masked_fill(~seen, 0) @ V.nan_to_num(0, 0, 0)
    weights = seen.to(V.dtype)
    for is_there, value in ((V.isposinf(), math.inf), (V.isneginf(), -math.inf), (V.isnan(), math.nan)):
        O = O + torch.where(weights @ is_there.to(V.dtype) > 0, value, 0.0).to(O.dtype)
    return O


def add_product(into: Tensor, A: Tensor, X: Tensor, seen: Tensor | None, alpha: float = 1.0) -> None:
    """into += alpha · A X, of three dimensions; where `seen` (as A) is given, of what is seen."""
    if seen is None:
        into.baddbmm_(A, X, alpha=alpha)
    else:
        into.add_(seen_product(A, X, seen), alpha=alpha)


class HidingProduct(torch.autograd.Function):
    """P V of probabilities that are 0 where something is hidden. A finite number there may be so large that its product
    with the gradient is not, and 0·∞ in the softmax's would be NaN: where P is 0 its gradient is 0 then."""

    @staticmethod
    def forward(P: Tensor, V: Tensor) -> Tensor:
        return P @ V

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dO: Tensor) -> tuple[Tensor, Tensor]:
        P, V = ctx.saved_tensors
        dP = dO @ V.mT
        if may_overflow(dO, V, terms=V.shape[-1]):
            dP = dP.masked_fill(P == 0, 0)
        return dP, (P.mT @ dO).sum_to_size(V.shape)


class SeenProduct(torch.autograd.Function):
    """`seen_product` with derivatives of every order: that of each of these two is made of both."""

    @staticmethod
    def forward(P: Tensor, V: Tensor, seen: Tensor) -> Tensor:
        return seen_product(P, V, seen)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dO: Tensor) -> tuple[Tensor | None, ...]:
        P, V, seen = ctx.saved_tensors
        return SeenScores.apply(dO, V, seen), SeenProduct.apply(P.mT, dO, seen.mT), None  # type: ignore[no-untyped-call]


class SeenScores(torch.autograd.Function):
    """Q Kᵀ (…, rows, columns), 0 where it is not seen."""

    @staticmethod
    def forward(Q: Tensor, K: Tensor, seen: Tensor) -> Tensor:
        return (Q @ K.mT).masked_fill_(~seen, 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dS: Tensor) -> tuple[Tensor | None, ...]:
        Q, K, seen = ctx.saved_tensors
        return SeenProduct.apply(dS, K, seen), SeenProduct.apply(dS.mT, Q, seen.mT), None  # type: ignore[no-untyped-call]
