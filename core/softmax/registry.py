"""Every implementation by name, for each of the four outputs. The experiment file alone says its tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..suggest import did_you_mean
from ..trial import Refused
from . import exp2, logarithms, operations, reference, topk, two_pass
from .counting import Counts, count
from .numba import backend as numba
from .triton import backend as triton


class Softmax(Protocol):
    """softmax(x, dim=-1): probabilities like x, which may have any shape."""

    def __call__(self, x: Tensor, dim: int = -1) -> Tensor: ...


@dataclass(frozen=True)
class Implementation:
    """One way to compute one output.

    Attributes:
        function: f(x, dim=-1), or f(x, k, dim=-1) for top-k.
        is_kernel: whether its passes run inside one kernel, which hides what they read and write.
        count: of a reference, runs the very algorithm on a row that counts its accesses: (row, k) to counts.
    """

    function: Callable[..., Any]
    is_kernel: bool = False
    count: Callable[[list[float], int], Counts] | None = None


def _torch_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """PyTorch's own fused kernel."""
    return torch.softmax(x, dim)


def _torch_log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    return torch.log_softmax(x, dim)


def _torch_logsumexp(x: Tensor, dim: int = -1) -> Tensor:
    return torch.logsumexp(x, dim)


SOFTMAXES: dict[str, Softmax] = {
    "naive": operations.naive,
    "safe": operations.safe,
    "online": operations.online,
    "eager": operations.eager,
    "two-pass": two_pass.two_pass,
    "exp2-poly-3": exp2.BY_DEGREE[3],
    "exp2-poly-4": exp2.BY_DEGREE[4],
    "exp2-poly-5": exp2.BY_DEGREE[5],
    "torch": _torch_softmax,
    "safe-numba": numba.safe,
    "online-numba": numba.online,
    "online-rescaled-numba": numba.rescaled,
    "two-pass-numba": numba.two_pass,
    "safe-triton": triton.safe,
    "online-triton": triton.online,
    "two-pass-triton": triton.two_pass,
}
"""Softmax by name, for use outside the experiments."""

_OTHER_OUTPUTS: dict[str, dict[str, Callable[..., Any]]] = {
    "log-softmax": {
        "naive": logarithms.naive_log_softmax,
        "safe": logarithms.safe_log_softmax,
        "online": logarithms.log_softmax,
        "torch": _torch_log_softmax,
        "safe-numba": numba.safe_log_softmax,
        "online-numba": numba.online_log_softmax,
    },
    "logsumexp": {
        "naive": logarithms.naive_logsumexp,
        "safe": logarithms.safe_logsumexp,
        "online": logarithms.logsumexp,
        "torch": _torch_logsumexp,
        "safe-numba": numba.safe_logsumexp,
        "online-numba": numba.online_logsumexp,
    },
    "top-k": {
        "naive": topk.naive_topk,
        "safe": topk.safe_topk,
        "online": topk.online_topk,
        "torch": topk.torch_topk,
        "online-numba": numba.online_topk,
    },
}

NUMBA = frozenset(name for name in SOFTMAXES if name.endswith("-numba"))
"""The names whose first call compiles."""

TRITON = frozenset(name for name in SOFTMAXES if name.endswith("-triton"))
"""The names that need a GPU."""


def find(name: str, output: str) -> Implementation:
    """The built-in implementation `name` of `output`.

    Raises Refused: there is none; the message names the nearest and all that there are.
    """
    known = implementations(output)
    if name in known:
        return known[name]
    raise Refused(
        f"no implementation {name!r} for {output}.{did_you_mean(name, known)}"
        f" There are: {', '.join(known)}, or yours as ./file.py:function"
    )


def implementations(output: str) -> Mapping[str, Implementation]:
    """All built-in implementations of one output, by name."""
    functions = SOFTMAXES if output == "softmax" else _OTHER_OUTPUTS[output]
    found = {
        name: Implementation(function, is_kernel=name in NUMBA | TRITON | {"torch"})
        for name, function in functions.items()
    }
    return found | _REFERENCES.get(output, {})


def _reference_softmax(algorithm: Callable[[Any, Any], None]) -> Implementation:
    """An algorithm over one row, run on a vector of all rows at once: x[j] is column j of every row.

    In float64 whatever the dtype of x, as Python's own floats are: one by one in float32, 4,096 terms already sum to
    forty units in the last place off, and a reference should be right.
    """

    def function(x: Tensor, dim: int = -1) -> Tensor:
        operations.check_floating(x)
        columns = x.movedim(dim, 0).double().contiguous()
        y = torch.empty_like(columns)
        algorithm(columns, y)
        return y.movedim(0, dim).to(x.dtype)

    def counted(row: list[float], k: int) -> Counts:
        return count(algorithm, row, [0.0] * len(row))

    return Implementation(function, count=counted)


def _reference_topk(algorithm: Callable[..., None], *, writes_softmax: bool) -> Implementation:
    """An algorithm over one row, run row after row in Python's floats: which places swap differs from row to row."""

    def rows_for(row: list[float], k: int) -> tuple[list[float], ...]:
        y = [[0.0] * len(row)] if writes_softmax else []
        return row, *y, [0.0] * k, [0.0] * k

    def function(x: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
        operations.check_floating(x)
        rows = x.movedim(dim, -1)
        values, columns = [], []
        for row in rows.reshape(-1, x.shape[dim]).tolist():
            *_, v, z = arguments = rows_for(row, k)
            algorithm(*arguments)
            values.append(v)
            columns.append(z)
        shape = (*rows.shape[:-1], k)
        return (
            torch.tensor(values, dtype=x.dtype, device=x.device).reshape(shape).movedim(-1, dim),
            torch.tensor(columns, dtype=torch.int64, device=x.device).reshape(shape).movedim(-1, dim),
        )

    def counted(row: list[float], k: int) -> Counts:
        return count(algorithm, *rows_for(row, k))

    return Implementation(function, count=counted)


_REFERENCES: dict[str, dict[str, Implementation]] = {
    "softmax": {
        "reference-naive": _reference_softmax(reference.naive),
        "reference-safe": _reference_softmax(reference.safe),
        "reference-online": _reference_softmax(reference.online),
        "reference-merge": _reference_softmax(reference.merged),
        "reference-two-pass": _reference_softmax(reference.two_pass),
    },
    "top-k": {
        "reference-safe": _reference_topk(reference.safe_topk, writes_softmax=True),
        "reference-online": _reference_topk(reference.online_topk, writes_softmax=False),
    },
}
