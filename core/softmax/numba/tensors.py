"""Tensors as the matrices that the Numba kernels work on, and how threads share them.

Rows are shared out among torch's threads (`torch.set_num_threads`), where there is work enough. If there are fewer rows
than threads, online-rescaled and the online logarithms share the columns of each row instead; of the others one row is
one thread's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...compiled.code import refuse_without_numba
from ...compiled.team import team
from ...trial import Refused
from ..operations import accumulator

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, Any]

Kernel = Callable[..., None]

WORTH_A_TEAM = 1 << 15
"""Elements from which on threads that are awake take part: torch's own softmax begins to share at so many, too. 10 to 25 µs
of work, and 2 µs to share it."""
WORTH_WAKING = 1 << 17
"""Elements from which on threads that sleep are woken, which takes them up to 100 µs."""
A_SHARE = 1 << 13
"""Elements of the smallest share."""

_AS_INTEGERS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}  # see bits.py
_DTYPES = frozenset({*_AS_INTEGERS, torch.float32, torch.float64})


def kernel_of(output: str, name: str, x: Tensor) -> Kernel:
    """The kernel of that name in the registry.

    Raises Refused: another device or dtype than it takes; or there is no Numba.
    """
    if not x.is_cpu:
        raise Refused(f"{output} {name} works on the CPU, not on {x.device.type}")
    if x.dtype not in _DTYPES:
        raise Refused(f"{output} {name} takes floating point, not {str(x.dtype).removeprefix('torch.')}")
    return _imported(output, name)


@cache
def _imported(output: str, name: str) -> Kernel:
    refuse_without_numba(f"{output} {name}")
    return kernels()[output, name]


def kernels() -> dict[tuple[str, str], Kernel]:
    """Each kernel by its output and its name in the registry; imports them all."""
    from . import logarithms, rows, topk, two_pass

    return {
        ("softmax", "safe-numba"): rows.safe,
        ("softmax", "online-numba"): rows.online,
        ("softmax", "online-rescaled-numba"): rows.rescaled,
        ("softmax", "two-pass-numba"): two_pass.two_pass,
        ("log-softmax", "safe-numba"): logarithms.safe_log_softmax,
        ("log-softmax", "online-numba"): logarithms.online_log_softmax,
        ("logsumexp", "safe-numba"): logarithms.safe_logsumexp,
        ("logsumexp", "online-numba"): logarithms.online_logsumexp,
        ("top-k", "online-numba"): topk.online_topk,
    }


def compute(output: str, name: str, x: Tensor, dim: int) -> Tensor:
    """Softmax or its logarithm, like x, or logsumexp, without `dim`; without gradients.

    x has an address: see `addresses`.
    Raises Refused: as `kernel_of`.
    """
    kernel = kernel_of(output, name, x)
    moves = dim != -1 and dim != x.dim() - 1
    moved = x.movedim(dim, -1) if moves else x
    if output == "logsumexp":
        y = x.new_empty(moved.shape[:-1])
    else:
        y = torch.empty_like(moved) if moved.is_contiguous() else moved.new_empty(moved.shape)
    if elements := moved.numel():
        moved, starts, columns = rows_of(moved)
        rows = elements // columns
        threads = threads_for(elements)
        if rows < threads and columns >= WORTH_WAKING:
            kernel, parts = _by_columns(kernel), threads
        else:
            parts = shares_of(elements, rows, threads)
        kernel(
            team(threads, wake=elements >= WORTH_WAKING), moved.data_ptr(), y.data_ptr(), address_of(starts),
            rows, columns, parts, _like(x.dtype),
        )  # fmt: skip
    elif output == "logsumexp":
        y.fill_(-math.inf)
    return y.movedim(-1, dim) if moves and output != "logsumexp" else y


def topk_rows(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest probabilities along the last dimension, in float32 for halves, and their columns.

    x has an address, and at least one dimension.
    Raises Refused: as `kernel_of`.
    """
    kernel = kernel_of("top-k", "online-numba", x)
    v = x.new_empty((*x.shape[:-1], k), dtype=accumulator(x.dtype))
    z = x.new_empty(v.shape, dtype=torch.int64)
    if v.numel():
        elements = x.numel()
        x, starts, columns = rows_of(x)
        rows, threads = elements // columns, threads_for(elements)
        kernel(
            team(threads, wake=elements >= WORTH_WAKING), x.data_ptr(), address_of(starts), rows, columns,
            shares_of(elements, rows, threads), _like(x.dtype), v.numpy().reshape(-1, k), z.numpy().reshape(-1, k),
        )  # fmt: skip
    return v, z


def _by_columns(kernel: Kernel) -> Kernel:
    from .columns import SHARED

    found: Kernel = SHARED.get(kernel, kernel)
    return found


def threads_for(elements: int) -> int:
    """As many as torch has, if there is work for several."""
    return 1 if elements < WORTH_A_TEAM else torch.get_num_threads()


def shares_of(elements: int, rows: int, threads: int) -> int:
    """Into how many shares rows are divided: several for each thread, of which one may come late."""
    return 1 if threads == 1 else max(1, min(rows, 4 * threads, elements // A_SHARE))


def rows_of(x: Tensor) -> tuple[Tensor, Numbers | None, int]:
    """(numbers, starts, columns): row r of x, along its last dimension, begins starts[r] numbers behind the first.

    The numbers are those of x itself, unless its last dimension has gaps; then of a copy. No starts: nothing lies between rows.
    """
    columns = x.size(-1) if x.dim() else 1
    if x.is_contiguous():
        return x, None, columns
    if x.stride(-1) != 1:
        return x.contiguous(), None, columns
    return x, _starts(x.shape[:-1], x.stride()[:-1]), columns


def address_of(starts: Numbers | None) -> int:
    """As kernels take it."""
    return 0 if starts is None else starts.ctypes.data


def _starts(shape: torch.Size, strides: tuple[int, ...]) -> Numbers:
    """Where each row begins."""
    import numpy as np

    starts = np.zeros(1, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        starts = np.add.outer(starts, np.arange(size) * stride).ravel()
    return starts


@cache
def _like(dtype: torch.dtype) -> Numbers:
    """Nothing of a type that Numba knows; halves are the integers that they are made of."""
    integers = _AS_INTEGERS.get(dtype)
    nothing = torch.empty(0, dtype=dtype, device="cpu")
    found: Numbers = (nothing if integers is None else nothing.view(integers)).numpy()
    return found
