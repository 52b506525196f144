"""From the parameters of an experiment to its figures: errors against float64, counts, memory, the bias of a sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...measure.memory import memory_of
from . import chunked, counted, tiles
from .formats import E4M3, incoherent, quantised, rounded
from .params import Params
from .ties import bias_of_ties

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "e4m3": E4M3}
"""float32 is missing: calculations are in it, and need no rounding."""

# ruff: noqa: E741 — O is the papers' symbol


@dataclass(frozen=True)
class Errors:
    """Of O against float64; the last two of flash only.

    Attributes:
        rmse: the root of the mean square.
        max_error: the largest difference.
        relative: in percent, ‖O − truth‖ / ‖truth‖.
        rescaled: in percent, how many of the rescalings after the first tile, one a row and tile, were done.
        largest: P before its rounding.
    """

    rmse: float
    max_error: float
    relative: float
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
        growth: its exponent, from a quarter of the queries and keys to all of them.
    """

    memory: float
    growth: float


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
    of_truth = truth(Q, K, V)
    Δ = O.double() - of_truth
    return Errors(
        rmse=float(Δ.square().mean().sqrt()),
        max_error=float(Δ.abs().max()),
        relative=100 * float(Δ.norm() / of_truth.norm()),
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


def agreement(params: Params, generator: torch.Generator) -> float:
    """The largest difference of O in chunks from O with the whole of S, both in float32, over 1,024 queries at most."""
    Q, K, V = _as_many(params.keys, params.head_dim, generator)
    Q = Q[:1024]
    return float((chunked.chunked(Q, K, V) - chunked.standard(Q, K, V)).abs().max())


def overhead(params: Params) -> Overhead:
    """Of attention in chunks or with the whole of S, with as many queries as keys."""
    attention = chunked.chunked if params.algorithm == "chunked" else chunked.standard
    given = _as_many(params.keys, params.head_dim, torch.Generator().manual_seed(0))
    at_quarter = _beyond_result(attention, [x[: params.keys // 4] for x in given], params.gradients)
    at_n = _beyond_result(attention, given, params.gradients)
    return Overhead(at_n, math.log(at_n / at_quarter, 4))


def bias(params: Params, generator: torch.Generator) -> float:
    """Of a sum in which `equal` P are 1, in units of bf16's last place; below 0 is away from zero."""
    return bias_of_ties(params.equal, params.shift, params.queries, params.head_dim, generator)


def inputs(params: Params, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Q (queries, head_dim), K and V (keys, head_dim) as they are given, in float32."""

    def drawn(n: int) -> Tensor:
        x = torch.randn(n, params.head_dim, generator=generator, dtype=torch.float32, device="cpu")
        if params.outliers:
            often = torch.full_like(x, 0.001)
            x = x + 10 * torch.randn(
                x.shape, generator=generator, dtype=torch.float32, device="cpu"
            ) * torch.bernoulli(often, generator=generator)
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
    if not params.fed.startswith("e4m3"):
        return to(params.fed, Q), to(params.fed, K), to(params.fed, V)
    rows = params.tile if params.fed == "e4m3 by block" else None
    return quantised(Q, rows), quantised(K, rows), quantised(V, rows)


def arithmetic(params: Params) -> tiles.Arithmetic:
    """How narrow what is, in flash attention."""
    return tiles.Arithmetic(
        S=FORMATS.get(params.S),
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
    """x as the format of that name keeps it; of any other name x itself."""
    return rounded(x, FORMATS[name]) if name in FORMATS else x


def _as_many(n: int, d: int, generator: torch.Generator) -> list[Tensor]:
    """Q, K and V (n, d), normal."""
    return [torch.randn(n, d, generator=generator, dtype=torch.float32, device="cpu") for _ in range(3)]


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
