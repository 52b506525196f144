"""Tensors as the rows that the Numba kernels work on, and how threads share them.

Rows are shared out among at most as many threads as torch has (`torch.set_num_threads`), where there is work enough. If
there are fewer rows than threads, online-rescaled and the online logarithms share the columns of each row instead; of
the others one row is one thread's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...compiled.code import refuse_without_numba
from ...compiled.threads import on_threads
from ...trial import Refused
from ..operations import accumulator

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, Any]

Kernel = Callable[..., None]

WORTH_A_THREAD = 1 << 19
"""Elements, some 150 µs of work. Waking a second thread took 50 to 100 µs: 64 rows of 4,000 columns, 90 µs on one
thread, took 120 on two, and 64 of 32,000 columns 480 where one took 620."""

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
    if moved.numel():
        fill(y, moved, kernel)
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
        numbers, starts, columns = rows_of(x)
        u, p = v.numpy().reshape(-1, k), z.numpy().reshape(-1, k)
        in_shares(
            lambda first, last: kernel(numbers, starts, columns, first, last, u, p),
            len(starts),
            threads_for(len(starts) * columns),
        )
    return v, z


def fill(y: Tensor, x: Tensor, kernel: Kernel) -> None:
    """Let a kernel over the rows of x, along its last dimension, write y, which has elements and no gaps."""
    numbers, starts, columns = rows_of(x)
    result, dtype, rows = numbers_of(y), x.dtype, len(starts)
    threads = threads_for(rows * columns)
    if threads == 1:
        kernel(numbers, starts, result, columns, 0, rows, room(dtype, columns))
    # Sharing columns wakes the threads twice, which for one row of 1.2 million did not pay yet.
    elif rows < (of_a_row := threads_for(columns // 2)) and (shared := _in_columns(kernel)):
        for r, start in enumerate(starts):
            _fill_row(shared, numbers, start, result, r, columns, dtype, of_a_row)
    else:
        in_shares(
            lambda first, last: kernel(numbers, starts, result, columns, first, last, room(dtype, columns)),
            rows,
            threads,
        )


def _fill_row(
    kernels: tuple[Kernel, Kernel],
    numbers: Numbers,
    start: int,
    result: Numbers,
    r: int,
    columns: int,
    dtype: torch.dtype,
    threads: int,
) -> None:
    """One row on all threads; see columns.py."""
    import numpy as np

    from .rows import BLOCK

    begin, end = kernels
    blocks = -(-columns // BLOCK)
    cuts = [min(blocks * i // threads * BLOCK, columns) for i in range(threads + 1)]
    e = room(dtype, columns)
    before, m, d = np.empty(blocks, e.dtype), np.empty(threads, e.dtype), np.empty(threads)
    row = (numbers, start, result, r, columns)
    on_threads(lambda i: begin(*row, cuts[i], cuts[i + 1], e, before, m, d, i), threads)
    on_threads(lambda i: end(*row, cuts[i], cuts[i + 1], e, before, m, d), threads)


def _in_columns(kernel: Kernel) -> tuple[Kernel, Kernel] | None:
    from .columns import SHARED

    found: tuple[Kernel, Kernel] | None = SHARED.get(kernel)
    return found


def threads_for(elements: int) -> int:
    """As many as torch has and there is work for."""
    return 1 if elements < 2 * WORTH_A_THREAD else min(torch.get_num_threads(), elements // WORTH_A_THREAD)


def in_shares(share: Callable[[int, int], object], rows: int, threads: int) -> None:
    """share(first, last) for all rows, on so many threads, or as many as there are rows."""
    threads = min(threads, rows)
    cuts = [rows * i // threads for i in range(threads + 1)]
    on_threads(lambda i: share(cuts[i], cuts[i + 1]), threads)


def rows_of(x: Tensor) -> tuple[Numbers, Numbers, int]:
    """(numbers, starts, columns): row r of x, along its last dimension, is numbers[starts[r] : starts[r] + columns].

    The numbers are those of x itself, unless its last dimension has gaps; then of a copy.
    """
    columns = x.size(-1) if x.dim() else 1
    if not x.is_contiguous():
        if x.stride(-1) == 1:
            reach = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
            return numbers_of(x.as_strided((reach,), (1,))), _starts(x.shape[:-1], x.stride()[:-1]), columns
        x = x.contiguous()
    numbers = numbers_of(x)
    return numbers, _even_starts(numbers.size, columns), columns


def numbers_of(x: Tensor) -> Numbers:
    """The numbers of a tensor without gaps, flat; halves as the integers that they are made of."""
    integers = _AS_INTEGERS.get(x.dtype)
    flat: Numbers = (x if integers is None else x.view(integers)).numpy().ravel()
    return flat


def room(dtype: torch.dtype, columns: int) -> Numbers:
    """Where a row of exponentials waits for its sum: for halves. Others wait in the result."""
    if dtype in _AS_INTEGERS:
        return torch.empty(columns, dtype=torch.float32, device="cpu").numpy()
    return _nothing(dtype)


@lru_cache(maxsize=8)
def _even_starts(size: int, columns: int) -> Numbers:
    """Where each row begins if there are no gaps."""
    return _starts((size // columns,), (columns,))


def _starts(shape: Sequence[int], strides: Sequence[int]) -> Numbers:
    """Where each row begins."""
    import numpy as np

    starts = np.zeros(1, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        starts = np.add.outer(starts, np.arange(size) * stride).ravel()
    return starts


@cache
def _nothing(dtype: torch.dtype) -> Numbers:
    return torch.empty(0, dtype=dtype, device="cpu").numpy()
