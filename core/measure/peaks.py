"""What this machine can do at best, to compare a kernel's rate with: multiply-adds, matrix products, copies.

* The *FMA peak* (`fma`) is the ceiling of arithmetic. Libraries need not reach it: MKL leaves half of AVX-512 unused on AMD.
* The *best product* is the fastest of the libraries that multiply matrices here (`products`).
* A copy from each level of cache (`copies`), and from memory, is the ceiling of what only moves numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psutil
import torch

from ..trial import Refused
from .caches import data_caches, last_level_cache
from .copies import BYTES_OF_A_COPY, CopyRate, loop_rates, measure_copies
from .fma import FmaPeak, Miscounted, measure_fma
from .products import libraries
from .timer import Call, sampler_for

MATMUL_SIZES = (512, 1024, 2048, 4096)
# A copy of this many times the last-level cache does not fit into it.
TIMES_THE_CACHE = 4
# Where the system does not report the size of the cache.
_ASSUMED_CACHE = 32 * 1024**2

# More samples than ten do not improve the best.
_MOST_SAMPLES = 10
_MATMUL_SHARE_OF_BUDGET = 0.7
_OUT_OF_REACH = 0.8  # of the best: a library that is slower at one size is not tried at the next


@dataclass(frozen=True)
class Peaks:
    """The best rates, in the dtype and with the threads of the kernels to compare.

    Attributes:
        fma: the FMA peak, of float32 for half precision; None where there is none.
        without_fma: why there is none; empty where there is one.
        matmul_gflops: 10⁹ floating-point operations per second of the best square product, 2·n³ operations each.
        matmul_size: the n that was best.
        matmul_library: that did it: "mkl", "onednn", …
        matmul_bits: of the vectors it uses, where it says so.
        matmul_samples: the rates of all its samples at this size.
        copies: the rate of a copy from each level, memory last.
        copy_gb_per_s: 10⁹ bytes per second, read and written, of the best copy in memory. As in STREAM, the reads
            of cache lines that are then overwritten are not counted.
        copy_bytes: size of the tensor that was copied, so one copy moves twice this.
        dtype: as in "float32".
        device: "cpu" or "cuda".
        threads: torch's threads.
    """

    fma: FmaPeak | None
    without_fma: str
    matmul_gflops: float
    matmul_size: int
    matmul_library: str
    matmul_bits: int | None
    matmul_samples: tuple[float, ...]
    copies: tuple[CopyRate, ...]
    copy_gb_per_s: float
    copy_bytes: int
    dtype: str
    device: str
    threads: int


def measure_peaks(dtype: str = "float32", device: str = "cpu", budget_seconds: float = 1.5) -> Peaks:
    """The FMA peak, the best of square products of 512, 1024, 2048 and 4096, the best copy of four last-level caches or
    more, and one from each cache.

    A product's size that would exceed the budget at the best rate so far is left out; the smallest product and one copy
    are always measured. Making the inputs counts towards the budget; the FMA peak and the copies from caches, half a
    second once they are compiled, do not.

    Raises ValueError: for a dtype that is not one of torch's floating-point types, or a device without a timer.
    """
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ValueError(f"peaks are measured in a floating-point dtype such as float32, not in {dtype!r}")
    sampler_for(device)
    threads = torch.get_num_threads()
    fma, why = fma_or_why(dtype, device, threads)
    begin = time.perf_counter()
    with torch.no_grad():
        product = _best_matmul(kind, device, begin + _MATMUL_SHARE_OF_BUDGET * budget_seconds)
        in_memory = _copy_in_memory(kind, device, begin + budget_seconds, threads)
    copies = (*_from_caches(device, threads), in_memory)
    return Peaks(
        fma=fma, without_fma=why,
        matmul_gflops=max(product.samples), matmul_size=product.size, matmul_library=product.library,
        matmul_bits=product.bits, matmul_samples=product.samples,
        copies=copies, copy_gb_per_s=in_memory.gb_per_s, copy_bytes=in_memory.bytes // 2,
        dtype=dtype, device=device, threads=threads,
    )  # fmt: skip


def fma_or_why(dtype: str, device: str, threads: int) -> tuple[FmaPeak | None, str]:
    """The FMA peak of the arithmetic in a dtype, or why there is none; half precision is computed in float32 on a CPU."""
    if device != "cpu":
        return None, "a GPU's is not measured"
    try:
        return measure_fma("float64" if dtype == "float64" else "float32", threads), ""
    except (Refused, Miscounted) as error:
        return None, str(error)


@dataclass(frozen=True)
class _Product:
    samples: tuple[float, ...]  # 10⁹ operations per second
    size: int
    library: str
    bits: int | None


def _best_matmul(dtype: torch.dtype, device: str, deadline: float) -> _Product:
    """The library and the size with the fastest sample; libraries take turns."""
    multiplied, widths = _libraries(dtype, device)
    found: list[_Product] = []
    for size in MATMUL_SIZES:
        operations = 2.0 * size**3
        best = max((max(product.samples) for product in found), default=0.0)
        # Twice: the first product of a size is the library's warm-up.
        if best and time.perf_counter() + 2 * len(multiplied) * operations / (best * 1e9) > deadline:
            break
        a, b = torch.rand(2, size, size, dtype=torch.float32, device=device).to(dtype)
        out = torch.empty_like(a)
        turns = {
            name: _samples(partial(multiply, a, b, out), device, deadline)
            for name, multiply in multiplied.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(_MOST_SAMPLES):
            for name, samples in turns.items():
                seconds[name] += [taken for taken in (next(samples, None),) if taken is not None]
        rates = {
            name: tuple(operations / each * 1e-9 for each in taken)
            for name, taken in seconds.items()
            if taken
        }
        found += [_Product(samples, size, name, widths[name]) for name, samples in rates.items()]
        fastest = max(map(max, rates.values()))
        multiplied = {name: multiplied[name] for name in rates if max(rates[name]) > _OUT_OF_REACH * fastest}
    return max(found, key=lambda product: max(product.samples))


Multiply = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], object]


def _libraries(dtype: torch.dtype, device: str) -> tuple[dict[str, Multiply], Mapping[str, int | None]]:
    """What multiplies matrices on a device, and the bits of its vectors."""
    here = libraries(dtype) if device == "cpu" else {}
    if not here:
        return {"torch": lambda a, b, out: torch.mm(a, b, out=out)}, {"torch": None}
    return {name: each.multiply for name, each in here.items()}, {
        name: each.width for name, each in here.items()
    }


def _from_caches(device: str, threads: int) -> list[CopyRate]:
    """Nothing on a GPU and without Numba."""
    if device != "cpu":
        return []
    try:
        return measure_copies(data_caches(), threads)
    except Refused:
        return []


def _copy_in_memory(dtype: torch.dtype, device: str, deadline: float, threads: int) -> CopyRate:
    """The better of PyTorch's copy and, where Numba is, of ours, which does not decide by the size whether to leave
    caches out."""
    size = _copy_size(device)
    found = _by_torch(size, dtype, device, deadline)
    if device == "cpu":
        with suppress(Refused):
            found = max(found, loop_rates(size // threads, threads, len(found)), key=max)
    return CopyRate("memory", max(found), found, BYTES_OF_A_COPY * size, None)


def _by_torch(size: int, dtype: torch.dtype, device: str, deadline: float) -> tuple[float, ...]:
    """10⁹ bytes per second of PyTorch's copies of `size` bytes."""
    # Written once, so that the copy finds its pages there.
    source, target = torch.ones(2, -(-size // dtype.itemsize), dtype=dtype, device=device)
    moved = BYTES_OF_A_COPY * source.nbytes
    taken = _samples(lambda: target.copy_(source), device, deadline)
    return tuple(moved / seconds * 1e-9 for seconds in taken)


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
