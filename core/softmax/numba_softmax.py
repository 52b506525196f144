"""Softmax by the Numba kernels: tensors in, tensors out, with gradients. Numba is imported by the first call.

Rows are shared out among as many threads as torch has (`torch.set_num_threads`); one row is one thread's. Rows may lie
anywhere, a last dimension with gaps is copied. The first call with a dtype compiles, for a second or two, and keeps the
result in the cache folder for later processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..compiled import on_threads
from ..trial import Refused
from .differentiable import differentiable
from .operations import accumulator, needs_gradient

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, Any]

Kernel = Callable[..., None]

WORTH_A_THREAD = 1 << 19
"""Elements, some 150 µs of work. Waking a second thread took 50 to 100 µs: 64 rows of 4,000 columns, 90 µs on one
thread, took 120 on two, and 64 of 32,000 columns 480 for 620."""

_AS_INTEGERS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}  # see kernels/bits.py
_DTYPES = (*_AS_INTEGERS, torch.float32, torch.float64)


def safe(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2 in three loops, which compute each exponential once.

    Args:
        x: logits of any shape on the CPU; float16, bfloat16, float32 or float64. Halves are computed in float32.
        dim: the dimension that sums to one.

    Returns:
        Probabilities, like x. Differentiable, twice if need be.

    Raises:
        Refused: another device or dtype; or there is no Numba.
    """
    return _softmax("safe-numba", x, dim)


def online(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 3 over blocks: two loads and one store for each element, and each exponential twice; see `safe`."""
    return _softmax("online-numba", x, dim)


def rescaled(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 3 over blocks, with each exponential once: it is kept, and rescaled block by block; see `safe`."""
    return _softmax("online-rescaled-numba", x, dim)


def two_pass(x: Tensor, dim: int = -1) -> Tensor:
    """Mantissas and exponents apart, which takes no maximum (Dukhan & Ablavatski, arXiv:2001.04438); see `safe`."""
    return _softmax("two-pass-numba", x, dim)


def online_topk(x: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Algorithm 4 of Milakov & Gimelshein: one pass over x, which never writes the softmax.

    Arguments and returns as in `topk.online_topk`. With gradients the kernel finds the columns only, and softmax is
    written after all.

    Raises:
        ValueError: k is larger than the size of `dim`.
        Refused: as `safe`.
    """
    if k > x.shape[dim]:
        raise ValueError(f"k = {k} of only {x.shape[dim]} columns")
    kernel = _kernel("online-topk-numba", x)
    with torch.no_grad():
        moved = x.detach().movedim(dim, -1)
        numbers, starts, columns = _rows_of(moved)
        v = torch.empty(*moved.shape[:-1], k, dtype=accumulator(x.dtype))
        z = torch.empty(v.shape, dtype=torch.int64)
        if v.numel():
            u, p = v.numpy().reshape(-1, k), z.numpy().reshape(-1, k)

            def share(first: int, last: int) -> None:
                kernel(numbers, starts, columns, first, last, u, p)

            _in_shares(share, len(starts), columns)
    v, z = v.movedim(-1, dim), z.movedim(-1, dim)
    return (rescaled(x, dim).gather(dim, z) if needs_gradient(x) else v.to(x.dtype)), z


def first_call_seconds(name: str, output: str, dtype: torch.dtype) -> float:
    """How long a kernel's first call takes in this process: compiling it, or loading it from the cache folder.

    Args:
        name: as in the registry, such as "safe-numba".
        output: "softmax" or "top-k".
    """
    import time

    begin = time.perf_counter()
    x = torch.zeros(1, 1, dtype=dtype)
    if output == "top-k":
        online_topk(x, 1)
    else:
        _softmax(name, x, -1)
    return time.perf_counter() - begin


def _softmax(name: str, x: Tensor, dim: int) -> Tensor:
    kernel = _kernel(name, x)
    if needs_gradient(x):
        return differentiable(partial(_forward, kernel=kernel), x, dim)
    return _forward(x, dim, kernel)


def _forward(x: Tensor, dim: int, kernel: Kernel) -> Tensor:
    if dim not in (-1, x.dim() - 1):
        return _forward(x.movedim(dim, -1), -1, kernel).movedim(-1, dim)
    numbers, starts, columns = _rows_of(x)
    y = torch.empty_like(x) if x.is_contiguous() else x.new_empty(x.shape)
    result, dtype = _numbers(y), x.dtype

    def share(first: int, last: int) -> None:
        kernel(numbers, starts, result, columns, first, last, _room(dtype, columns))

    if result.size:
        _in_shares(share, len(starts), columns)
    return y


def _room(dtype: torch.dtype, columns: int) -> Numbers:
    """Where a row of exponentials waits for its sum: for halves. Others wait in the result."""
    if dtype in _AS_INTEGERS:
        return torch.empty(columns, dtype=torch.float32).numpy()
    return _nothing(dtype)


def _rows_of(x: Tensor) -> tuple[Numbers, Numbers, int]:
    """(numbers, starts, columns): row r of x, along its last dimension, is numbers[starts[r] : starts[r] + columns].

    The numbers are those of x itself, unless its last dimension has gaps; then of a copy.
    """
    columns = x.shape[-1] if x.dim() else 1
    if not x.is_contiguous():
        if x.stride(-1) == 1:
            reach = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
            return _numbers(x.as_strided((reach,), (1,))), _starts(x.shape[:-1], x.stride()[:-1]), columns
        x = x.contiguous()
    numbers = _numbers(x)
    return numbers, _even_starts(numbers.size, columns), columns


def _numbers(x: Tensor) -> Numbers:
    """The numbers of a tensor without gaps, flat; halves as the integers that they are made of."""
    integers = _AS_INTEGERS.get(x.dtype)
    flat: Numbers = (x if integers is None else x.view(integers)).numpy().ravel()
    return flat


@lru_cache(maxsize=8)
def _even_starts(size: int, columns: int) -> Numbers:
    """Where each row begins if there are no gaps."""
    return _starts((size // max(columns, 1),), (columns,))


def _starts(shape: Sequence[int], strides: Sequence[int]) -> Numbers:
    """Where each row begins."""
    import numpy as np

    starts = np.zeros(1, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        starts = np.add.outer(starts, np.arange(size) * stride).ravel()
    return starts


@cache
def _nothing(dtype: torch.dtype) -> Numbers:
    return torch.empty(0, dtype=dtype).numpy()


def _in_shares(share: Callable[[int, int], None], rows: int, columns: int) -> None:
    """share(first, last) for all rows, on as many threads as torch has and there is work for."""
    threads = min(torch.get_num_threads(), rows, rows * columns // WORTH_A_THREAD)
    if threads <= 1:
        return share(0, rows)
    cuts = [rows * i // threads for i in range(threads + 1)]
    on_threads(lambda i: share(cuts[i], cuts[i + 1]), threads)


def _kernel(name: str, x: Tensor) -> Kernel:
    if not x.is_cpu:
        raise Refused(f"softmax {name} works on the CPU, not on {x.device.type}")
    if x.dtype not in _DTYPES:
        raise Refused(f"softmax {name} takes floating point, not {str(x.dtype).removeprefix('torch.')}")
    return _imported(name)


@cache
def _imported(name: str) -> Kernel:
    try:
        from .kernels import rows, topk, two_pass
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
        raise Refused(f"softmax {name} needs numba: pip install numba") from error
    kernels: dict[str, Kernel] = {
        "safe-numba": rows.safe,
        "online-numba": rows.online,
        "online-rescaled-numba": rows.rescaled,
        "two-pass-numba": two_pass.two_pass,
        "online-topk-numba": topk.online_topk,
    }
    return kernels[name]
