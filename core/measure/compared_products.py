"""Compares the libraries that multiply: speed, and error against float64.

Speed must win clearly: in each of two rounds, with all other classes between them, the lower quartile of the paired ratios
must reach a margin, so that no noise flips a choice. Error must stay near the default's: a library that rounds float32 to bfloat16 or to tf32 errs 100 to 10,000 times
as much, one that only adds up in another order less than 3 times as much.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from .fastest_products import ROLES, Comparison, Comparisons
from .products import DTYPES, Library, libraries
from .timer import time_blocks

Products = list[tuple[Tensor, Tensor]]

SHAPES = {
    "large": [(2048, 128, 256), (2048, 256, 128)],
    "medium": [(512, 64, 256), (512, 256, 64)],
    "small": [(64, 64, 256), (64, 256, 64)],
}
"""Rows, width in and width out of a linear layer that widens and one that narrows: the least of a size of `SIZES`, since
what is faster there is so for more."""
MARGIN = 1.1
"""A library must be at least so many times as fast as the default."""
ALLOWED = 8.0
"""It may err by so many times the default's error."""
ROUNDS, SECONDS, BLOCKS = 2, 0.05, (6, 16)
"""Of all classes; for the times of one in a round; the least and the largest number of samples there."""


def compared(threads: int) -> Comparisons:
    """Every class in every dtype that more than one library multiplies in, with so many threads of torch."""
    found: Comparisons = {}
    with _threads(threads), torch.inference_mode():
        for dtype in DTYPES:
            known = libraries(dtype)
            if len(known) == 1:
                continue
            classes = {
                f"{role}, {size}": [operands(role, *shape, dtype) for shape in shapes]
                for size, shapes in SHAPES.items()
                for role in ROLES
            }
            errors = {name: errors_of(known, products) for name, products in classes.items()}
            rounds = [
                {name: times_of(known, errors[name], products) for name, products in classes.items()}
                for _ in range(ROUNDS)
            ]
            found[str(dtype).removeprefix("torch.")] = {
                name: chosen(next(iter(known)), [times[name] for times in rounds], errors[name])
                for name in classes
            }
    return found


def operands(role: str, rows: int, into: int, out: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A and B of a product of a linear layer on normal numbers, in the strides that the layer has them."""
    make = torch.Generator("cpu").manual_seed(0)
    x, weight, g = (
        torch.randn(*shape, generator=make, dtype=torch.float32, device="cpu").to(dtype)
        for shape in ((rows, into), (out, into), (rows, out))
    )
    return {"forward": (x, weight.t()), "input gradient": (g, weight), "weight gradient": (g.t(), x)}[role]


def errors_of(known: Mapping[str, Library], products: Products) -> dict[str, float]:
    """How many times the default's error each library errs; the default is the first."""
    errors = {name: error_of(library, products) for name, library in known.items()}
    of_default = max(next(iter(errors.values())), 1e-300)
    return {name: float(f"{error / of_default:.3g}") for name, error in errors.items()}


def times_of(
    known: Mapping[str, Library], errors: Mapping[str, float], products: Products
) -> dict[str, list[float]]:
    """Paired seconds of the libraries that are right."""
    least, most = BLOCKS
    return time_blocks(
        {name: partial(_all, library, products) for name, library in known.items() if is_right(errors[name])},
        budget_seconds=SECONDS,
        min_blocks=least,
        max_blocks=most,
    )


def is_right(error: float) -> bool:
    return error <= ALLOWED  # which NaN is not


def chosen(
    default: str, rounds: Sequence[Mapping[str, list[float]]], errors: Mapping[str, float]
) -> Comparison:
    """The choice, from the paired seconds of each round and everyone's error over the default's."""
    others = [name for name in errors if name != default]
    ratios = {
        name: [[a / b for a, b in zip(times[default], times[name], strict=True)] for times in rounds]
        for name in others
        if is_right(errors[name])
    }
    faster = {name: round(statistics.median(sum(each, [])), 3) for name, each in ratios.items()}
    clear = [
        name for name, each in ratios.items() if min(statistics.quantiles(r, n=4)[0] for r in each) >= MARGIN
    ]
    return Comparison(
        library=max(clear, key=lambda name: faster[name], default=default),
        default=default,
        faster=faster,
        error={name: errors[name] for name in others},
        refused=[name for name in others if name not in ratios],
    )


def error_of(library: Library, products: Products) -> float:
    """The root of the mean square of all errors against float64; infinite for a library that fails."""
    squares = []
    for a, b in products:
        try:
            found = library.multiply(a, b, None)
        except RuntimeError:
            return float("inf")
        squares.append((found.double() - a.double() @ b.double()).square().flatten())
    return float(torch.cat(squares).mean().sqrt())


def _all(library: Library, products: Products) -> None:
    for a, b in products:
        library.multiply(a, b, None)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
