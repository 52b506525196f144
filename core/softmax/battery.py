"""Whether an implementation is right: small inputs that catch the usual mistakes, then the point's own input.

The rule of `measure.correctness` judges each result, against float64, with safe softmax in PyTorch operations as the
standard form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..measure.correctness import compare
from ..trial import Refused, Wrong
from . import logarithms, operations, topk

ELEMENTS = 1 << 20
"""How much is compared at once; float64 copies of a whole large input would take its memory eight times over."""


@dataclass(frozen=True)
class Task:
    """What is computed, and by what.

    Attributes:
        output: "softmax", "log-softmax", "logsumexp" or "top-k"; or the name of something else, with its own standard
            form and truth.
        k: for "top-k", how many.
        function: f(x, dim), or f(x, k, dim) for "top-k"; without the dim where `takes_dim` is false.
        takes_dim: whether it has a parameter `dim`.
        standard: f(x, dim) in x's dtype, whose error says how exact one may be.
        truth: f(x, dim) for x in float64.
    """

    output: str
    k: int
    function: Callable[..., Any]
    takes_dim: bool = True
    standard: Callable[[Tensor, int], Tensor] | None = None
    truth: Callable[[Tensor, int], Tensor] | None = None

    def __call__(self, x: Tensor, dim: int = -1) -> Any:
        arguments = (x, min(self.k, x.shape[dim])) if self.output == "top-k" else (x,)
        return self.function(*arguments, dim=dim) if self.takes_dim else self.function(*arguments)


def check(task: Task, x: Tensor, *, stable: bool) -> dict[str, float]:
    """Apply the rule to `task` on the small inputs and then on x (rows, columns).

    Small inputs that the implementation refuses are skipped; x is not.

    `stable` is false for what is promised only where e^x fits the dtype; large logits are then left out.
    Returns: error, error_allowed and error_ratio on x.

    Raises:
        Wrong: with the first failing case.
        Refused: x itself is refused.
    """
    for case, small, dim in small_inputs(x.dtype, x.device, stable=stable):
        if dim == -1 or task.takes_dim:
            try:
                _compare(task, case, small, dim)
            except Refused:
                continue
    with suppress(Refused):
        _check_memory(task, x)
    rows, columns = x.shape
    return _compare(task, f"{rows} × {columns}", x, -1)


def _check_memory(task: Task, x: Tensor) -> None:
    """The same tensor with other numbers in it, against functions that cache results by their input."""
    again = torch.linspace(-2, 2, 4 * 33, device=x.device, dtype=torch.float32).view(4, 33).to(x.dtype)
    _compare(task, "the first of two inputs in one tensor", again, -1)
    again.copy_(again.flip(-1).sub(0.5))
    _compare(task, "the second of two inputs in one tensor", again, -1)


def small_inputs(
    dtype: torch.dtype, device: torch.device, *, stable: bool
) -> Iterator[tuple[str, Tensor, int]]:
    """(case in words, x, dim) for every small input. All are made from the same seed."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu").to(device, dtype)

    for columns in (1, 2, 3, 127, 1025):
        yield f"5 rows × {columns} {'column' if columns == 1 else 'columns'}", normal(5, columns), -1
    yield "equal values", torch.full((3, 64), 0.5, dtype=dtype, device=device), -1
    masked = normal(4, 33)
    for row, column in enumerate((0, 1, 16, 32)):  # at the start, inside, at the end
        masked[row, column] = -math.inf
    yield "one -inf in a row", masked, -1
    yield "last dimension not contiguous", normal(65, 7).t(), -1
    yield "every second column", normal(4, 130)[:, ::2], -1
    yield "dim=0", normal(65, 7), 0
    if stable:
        shift = torch.tensor([[1e4], [-1e4]], dtype=dtype, device=device)
        yield "logits around 10,000 and -10,000", normal(2, 100) + shift, -1
        apart = normal(2, 100)
        apart[:, ::2] += shift
        yield "logits 10,000 apart", apart, -1


def _compare(task: Task, case: str, x: Tensor, dim: int) -> dict[str, float]:
    case = f"{task.output} of {case}, {str(x.dtype).removeprefix('torch.')}"
    before = x.clone()
    result = task(x, dim)
    if not torch.equal(x, before):
        raise Wrong(f"{case}: the input was overwritten", math.inf, 0.0)
    if x.numel() <= ELEMENTS:
        return _compare_part(task, case, result, before, dim)
    many = max(1, ELEMENTS // x.shape[1])
    parts = []
    for rows in torch.split(torch.arange(x.shape[0], device=x.device), many):
        found = (
            tuple(_pick(one, x, rows) for one in result)
            if isinstance(result, tuple)
            else _pick(result, x, rows)
        )
        where = f"{case}, rows {int(rows[0])} to {int(rows[-1])}"
        parts.append(_compare_part(task, where, found, before.index_select(0, rows), dim))
    return _together(parts)


def _together(parts: list[dict[str, float]]) -> dict[str, float]:
    """Of the parts of one input the largest error, over the standard form's largest."""
    error = max(part["error"] for part in parts)
    own = max(
        (part["error"] / part["error_ratio"] for part in parts if part["error_ratio"]), default=math.inf
    )
    return {
        "error": error,
        "error_allowed": max(p["error_allowed"] for p in parts),
        "error_ratio": error / own,
    }


def _compare_part(task: Task, case: str, result: Any, before: Tensor, dim: int) -> dict[str, float]:
    if task.output == "top-k":
        try:
            probabilities, columns = result
            return _compare_topk(case, probabilities, columns, before, min(task.k, before.shape[dim]), dim)
        except (TypeError, ValueError, AttributeError) as error:
            raise Wrong(f"{case}: not a pair of probabilities and columns", math.inf, 0.0) from error
    if not isinstance(result, Tensor):
        raise Wrong(f"{case}: {type(result).__name__} instead of a tensor", math.inf, 0.0)
    standard = (task.standard or _STANDARD[task.output])(before, dim)
    # Logarithms near 0 come of numbers near 1, and are no more exact than those.
    least_size = 1.0 if task.output in ("log-softmax", "logsumexp") else 0.0
    truth = (task.truth or _TRUTH[task.output])(before.double(), dim)
    return compare(case, result, standard, truth, least_size=least_size)


def _compare_topk(
    case: str, found: Tensor, columns: Tensor, before: Tensor, k: int, dim: int
) -> dict[str, float]:
    """Apply the rule to the probabilities found, and to the true probabilities of the columns returned.

    Columns themselves cannot be compared: among equal logits any choice is right.
    """
    truth = torch.softmax(before.double(), dim)
    standard, standard_columns = topk.safe_topk(before, k, dim)
    if columns.shape != standard.shape or columns.dtype != torch.int64:
        raise Wrong(f"{case}: columns are {tuple(columns.shape)} {columns.dtype}", math.inf, 0.0)
    ordered = columns.sort(dim).values
    if columns.min() < 0 or columns.max() >= before.shape[dim] or (ordered.diff(dim=dim) == 0).any():
        raise Wrong(f"{case}: a column that is not there, or one twice", math.inf, 0.0)

    def with_truth(probabilities: Tensor, at: Tensor) -> Tensor:
        return torch.cat([probabilities, truth.gather(dim, at).to(probabilities.dtype)], dim)

    expected = truth.topk(k, dim).values
    return compare(
        case,
        with_truth(found, columns),
        with_truth(standard, standard_columns),
        torch.cat([expected, expected], dim),
    )


def _pick(result: Any, x: Tensor, rows: Tensor) -> Any:
    """Those rows of a result; all of one that has another form, which is then found wrong."""
    same = isinstance(result, Tensor) and result.shape[:1] == x.shape[:1]
    return result.index_select(0, rows) if same else result


_STANDARD: dict[str, Callable[[Tensor, int], Tensor]] = {
    "softmax": operations.safe,
    "log-softmax": logarithms.safe_log_softmax,
    "logsumexp": logarithms.safe_logsumexp,
}
_TRUTH: dict[str, Callable[[Tensor, int], Tensor]] = {
    "softmax": torch.softmax,
    "log-softmax": torch.log_softmax,
    "logsumexp": torch.logsumexp,
}
