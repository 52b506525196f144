"""The rates of PyTorch's matrix products and copies on this machine, to compare a kernel's rate with.

They depend on the library, which need not use all of the processor (MKL on AMD leaves AVX-512 unused), and are no upper
bound of the machine: another kernel may be faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import psutil
import torch

from .caches import last_level_cache
from .timer import Call, sampler_for

MATMUL_SIZES = (512, 1024, 2048, 4096)
# A copy of this many times the last-level cache does not fit into it.
TIMES_THE_CACHE = 4
# Where the system does not report the size of the cache.
_ASSUMED_CACHE = 32 * 1024**2

# More samples than ten do not improve the best.
_MOST_SAMPLES = 10
_MATMUL_SHARE_OF_BUDGET = 0.7

BYTES_OF_A_COPY = 2
"""For each byte copied: it is read and written."""


@dataclass(frozen=True)
class Peaks:
    """The best rates of PyTorch, in the dtype and with the threads of the kernels to compare.

    Attributes:
        matmul_gflops: 10⁹ floating-point operations per second of the best square product, 2·n³ operations each.
        matmul_size: the n that was best.
        copy_gb_per_s: 10⁹ bytes per second, read and written, of the best copy. As in STREAM, the reads
            of cache lines that are then overwritten are not counted.
        copy_bytes: size of the tensor that was copied, so one copy moves twice this.
        dtype: as in "float32".
        device: "cpu" or "cuda".
        threads: torch's threads.
    """

    matmul_gflops: float
    matmul_size: int
    copy_gb_per_s: float
    copy_bytes: int
    dtype: str
    device: str
    threads: int


def measure_peaks(dtype: str = "float32", device: str = "cpu", budget_seconds: float = 1.5) -> Peaks:
    """The best of square products of 512, 1024, 2048 and 4096, and the best copy of four last-level caches or more.

    A size that would exceed the budget at the best rate so far is left out; the smallest product and one copy are
    always measured. Making the inputs counts towards the budget.

    Raises ValueError: for a dtype that is not one of torch's floating-point types, or a device without a timer.
    """
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(f"peaks are measured in a floating-point dtype such as float32, not in {dtype!r}")
    begin = time.perf_counter()
    with torch.no_grad():
        gflops, size = _best_matmul(kind, device, begin + _MATMUL_SHARE_OF_BUDGET * budget_seconds)
        rate, copied = _best_copy(kind, device, begin + budget_seconds)
    return Peaks(gflops, size, rate, copied, dtype, device, torch.get_num_threads())


def _best_matmul(dtype: torch.dtype, device: str, deadline: float) -> tuple[float, int]:
    """Rate in 10⁹ operations per second, and the size that reached it."""
    best, best_size = 0.0, MATMUL_SIZES[0]
    for size in MATMUL_SIZES:
        operations = 2.0 * size**3
        # Twice: the first product of a size is the library's warm-up.
        if best and time.perf_counter() + 2 * operations / (best * 1e9) > deadline:
            break
        a, b = torch.rand(2, size, size, dtype=torch.float32, device=device).to(dtype)
        out = torch.empty_like(a)
        for seconds in _samples(partial(torch.mm, a, b, out=out), device, deadline):
            if operations / seconds > best * 1e9:
                best, best_size = operations / seconds * 1e-9, size
    return best, best_size


def _best_copy(dtype: torch.dtype, device: str, deadline: float) -> tuple[float, int]:
    """Rate in 10⁹ bytes per second, read and written, and the bytes of the tensor copied."""
    elements = -(-_copy_size(device) // dtype.itemsize)
    # Written once, so that the copy finds its pages there.
    source, target = torch.ones(2, elements, dtype=dtype, device=device)
    bytes_moved = BYTES_OF_A_COPY * source.nbytes
    fastest = min(_samples(lambda: target.copy_(source), device, deadline))
    return bytes_moved / fastest * 1e-9, source.nbytes


def _copy_size(device: str) -> int:
    """Bytes of four last-level caches, and no more than an eighth of the memory that is free."""
    if device == "cuda":
        return TIMES_THE_CACHE * max(torch.cuda.get_device_properties(0).L2_cache_size, _ASSUMED_CACHE)
    cache = last_level_cache(torch.get_num_threads()) or _ASSUMED_CACHE
    return min(TIMES_THE_CACHE * cache, psutil.virtual_memory().available // 8)


def _samples(call: Call, device: str, deadline: float) -> Iterator[float]:
    """Seconds per call: at least one sample after the warm-up, then as many as fit before `deadline`."""
    sample = sampler_for(device)
    sample(call, 1)
    for _ in range(_MOST_SAMPLES):
        seconds = sample(call, 1)
        yield seconds
        if time.perf_counter() + seconds > deadline:
            return
