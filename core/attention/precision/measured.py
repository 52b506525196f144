"""From the knobs of an experiment to its figures: errors against float64, counts, memory, the bias of a sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...measure.memory import memory_of
from . import chunked, counted, tiles
from .formats import E4M3, incoherent, quantised, rounded
from .ties import bias_of_ties

if TYPE_CHECKING:
    from .trial import Params

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "e4m3": E4M3}
"""float32 is what is calculated in: no rounding is asked for."""

# ruff: noqa: E741 — O is the papers' symbol


@dataclass(frozen=True)
class Errors:
    """Of O against float64; the last two of flash only.

    Attributes:
        rmse: the root of the mean square.
        relative: in percent, ‖O − truth‖ / ‖truth‖.
        worst: the largest absolute error.
        rescaled: in percent, how many of the rescalings after the first tile, one a row and tile, were done.
        largest: P before its rounding.
    """

    rmse: float
    relative: float
    worst: float
    rescaled: float | None = None
    largest: float | None = None


@dataclass(frozen=True)
class Counts:
    """For each number of O: divisions, and multiplications that rescale; and `rmse`, to show that O is right."""

    divisions: float
    rescalings: float
    rmse: float


@dataclass(frozen=True)
class Overhead:
    """Memory at the peak beyond what is returned.

    Attributes:
        memory: in bytes.
        growth: its exponent, from half as many queries and keys to all of them.
        worst: the largest difference of O from that of the other algorithm, both in float32.
    """

    memory: float
    growth: float
    worst: float


def errors(params: Params, generator: torch.Generator) -> Errors:
    """Of standard or flash attention, in float32 but for what `params` rounds."""
    Q, K, V = inputs(params, generator)
    Q̂, K̂, V̂ = narrowed(params, Q, K, V, generator)
    if params.algorithm == "standard":
        O, found = tiles.standard(Q̂, K̂, V̂, FORMATS.get(params.P)), None
    else:
        found = tiles.flash(Q̂, K̂, V̂, arithmetic(params))
        O = found.O
    O = to(params.output, O)
    Δ = O.double() - truth(Q, K, V)
    return Errors(
        rmse=float(Δ.square().mean().sqrt()),
        relative=100 * float(Δ.norm() / truth(Q, K, V).norm()),
        worst=float(Δ.abs().max()),
        rescaled=None
        if found is None or not found.rescalings
        else 100 * (1 - found.skipped / found.rescalings),
        largest=None if found is None else found.largest,
    )


def counts(params: Params, generator: torch.Generator) -> Counts:
    """Of FlashAttention's or FlashAttention-2's Algorithm 1 in float32."""
    Q, K, V = inputs(params, generator)
    algorithm = counted.flash_1 if params.algorithm == "flash-1" else counted.flash_2
    found = algorithm(Q, K, V, params.tile)
    Δ = found.O.double() - truth(Q, K, V)
    of = found.O.numel()
    return Counts(found.divisions / of, found.rescalings / of, float(Δ.square().mean().sqrt()))


def overhead(params: Params, generator: torch.Generator) -> Overhead:
    """Of attention in chunks or with the whole of S, with as many queries as keys."""
    here, other = chunked.chunked, chunked.standard
    if params.algorithm == "whole":
        here, other = other, here
    n = params.keys
    Q, K, V = (torch.randn(n, params.head_dim, generator=generator) for _ in range(3))
    Δ = here(Q, K, V) - other(Q, K, V)
    at_half = _beyond_result(here, [x[: n // 2] for x in (Q, K, V)], params.gradients)
    at_n = _beyond_result(here, [Q, K, V], params.gradients)
    return Overhead(at_n, math.log2(at_n / at_half), float(Δ.abs().max()))


def bias(params: Params, generator: torch.Generator) -> float:
    """Of a sum in which `equal` P are 1, in units of bf16's last place; below 0 is away from zero."""
    return bias_of_ties(params.equal, params.shift, params.queries, params.head_dim, generator)


def inputs(params: Params, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Q (queries, head_dim), K and V (keys, head_dim) as they are given, in float32."""

    def drawn(n: int) -> Tensor:
        x = torch.randn(n, params.head_dim, generator=generator)
        if params.outliers:
            often = torch.full_like(x, 0.001)
            x = x + 10 * torch.randn(x.shape, generator=generator) * torch.bernoulli(
                often, generator=generator
            )
        return to(params.given, x)

    # Scores are spread behind the rounding, as by the scale of a softmax: what is given stays what it was.
    Q = drawn(params.queries) * params.spread
    return Q, drawn(params.keys), drawn(params.keys)


def narrowed(
    params: Params, Q: Tensor, K: Tensor, V: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Q, K and V as the algorithm is fed with them."""
    if params.incoherent:
        Q, K = incoherent(Q, K, generator)
    if params.scales == "none":
        return Q, K, V
    rows = params.tile if params.scales == "block" else None
    return quantised(Q, rows), quantised(K, rows), quantised(V, rows)


def arithmetic(params: Params) -> tiles.Arithmetic:
    """How narrow what is, in flash attention."""
    return tiles.Arithmetic(
        P=FORMATS.get(params.P),
        kept=FORMATS.get(params.kept),
        keys=params.tile,
        τ=params.threshold,
        offset=params.offset,
    )


def truth(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """O in float64."""
    return tiles.standard(Q.double(), K.double(), V.double())


def to(name: str, x: Tensor) -> Tensor:
    """x as the format of that name keeps it."""
    return rounded(x, FORMATS[name]) if name in FORMATS else x


def _beyond_result(
    attention: Callable[[Tensor, Tensor, Tensor], Tensor], given: list[Tensor], gradients: bool
) -> float:
    returned = sum(x.nbytes for x in given) if gradients else given[0].nbytes

    def call() -> object:
        if not gradients:
            return attention(*given)
        inputs = [x.detach().requires_grad_() for x in given]
        return torch.autograd.grad(attention(*inputs).sum(), inputs)

    return memory_of(call).allocated - returned
