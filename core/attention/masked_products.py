"""Matrix products that ignore masked entries, even NaN and infinite ones.

A masked key has the probability 0, and 0 times a finite number is 0. But 0·NaN is NaN, in P·V of the forward pass and in
dSᵀ·Q, dS·K and Pᵀ·dO of the backward pass, and one NaN in a masked key would spoil every row. These products cost several
times the plain ones. So attention is first computed with plain products, and again with these where the call masks
anything (`can_leak`) and a result is not finite (`all_finite`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .band import Band

# ruff: noqa: E741 — O is the paper's symbol


def can_leak(mask: Tensor | None, band: Band) -> bool:
    """Whether the call masks any key, which a NaN could then leak from."""
    return mask is not None or not band.is_everything


def all_finite(*tensors: Tensor | None) -> bool:
    """Whether no number is NaN or infinite: one pass over each, and one transfer from a GPU.

    It compares sums, which cost far less than a test of each number. A sum of finite numbers that overflows gives False as
    well, which only costs time.
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


def masked_product(P: Tensor, V: Tensor, mask: Tensor) -> Tensor:
    """P V without its masked terms: probabilities (…, rows, columns) times (…, columns, ·).

        An unmasked infinity of V makes the result infinite, and an unmasked NaN, or infinities of both signs, make it NaN,
        even where P is rounded to 0.
    The mask (…, rows, columns) is true where a term counts.
    """
    O = P.masked_fill(~mask, 0) @ V.nan_to_num(0, 0, 0)
    weights = mask.to(V.dtype)
    for is_there, value in ((V.isposinf(), math.inf), (V.isneginf(), -math.inf), (V.isnan(), math.nan)):
        O = O + torch.where(weights @ is_there.to(V.dtype) > 0, value, 0.0).to(O.dtype)
    return O


def add_product(into: Tensor, A: Tensor, X: Tensor, mask: Tensor | None, alpha: float = 1.0) -> None:
    """into += alpha · A X, of three dimensions; with a mask (shaped like A), without its masked terms."""
    if mask is None:
        into.baddbmm_(A, X, alpha=alpha)
    else:
        into.add_(masked_product(A, X, mask), alpha=alpha)


class OverflowSafeProduct(torch.autograd.Function):
    """P V, P being 0 where masked, with a gradient of P that masked numbers do not make NaN.

    A masked number of V may be finite and its product with dO infinite, and 0·∞ in the gradient of the softmax is NaN.
    Where that can happen, the gradient of P is 0 wherever P is 0.
    """

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


class MaskedProduct(torch.autograd.Function):
    """`masked_product` with derivatives of every order: those of this function and `MaskedScores` consist of both."""

    @staticmethod
    def forward(P: Tensor, V: Tensor, mask: Tensor) -> Tensor:
        return masked_product(P, V, mask)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dO: Tensor) -> tuple[Tensor | None, ...]:
        P, V, mask = ctx.saved_tensors
        return MaskedScores.apply(dO, V, mask), MaskedProduct.apply(P.mT, dO, mask.mT), None  # type: ignore[no-untyped-call]


class MaskedScores(torch.autograd.Function):
    """Q Kᵀ (…, rows, columns), 0 where masked."""

    @staticmethod
    def forward(Q: Tensor, K: Tensor, mask: Tensor) -> Tensor:
        return (Q @ K.mT).masked_fill_(~mask, 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dS: Tensor) -> tuple[Tensor | None, ...]:
        Q, K, mask = ctx.saved_tensors
        return MaskedProduct.apply(dS, K, mask), MaskedProduct.apply(dS.mT, Q, mask.mT), None  # type: ignore[no-untyped-call]
