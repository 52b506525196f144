"""How large the tiles of a kernel are: known without trying for short sequences, timed once for long ones.

What was timed is kept on disk, beside Triton's compiled code, for each kernel, GPU and kind of call.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
import triton

from . import backward, forward
from .kind import Kind

LONG = 1024
"""Timing some sizes compiles as many kernels, for seconds each: it is done from this length on."""
LONGEST = 8192
"""Beyond this the best size changes no more."""
INTERPRETED = 32
"""Queries and keys of a tile under the interpreter."""
L2_CACHE = 1 << 25
"""Bytes of rows that a section may read: of the 40 and 50 MB of an A100 and an H100 what is surely free."""


class Sizes(NamedTuple):
    """Queries and keys of a tile, tiles on their way from memory, and warps of a program."""

    BLOCK_M: int
    BLOCK_N: int
    num_stages: int
    num_warps: int


KERNELS = {"forward": forward.forward, "of_queries": backward.of_queries, "of_keys": backward.of_keys}

# The first of each spills no registers on an H100, as ptxas tells
# (tests/core/attention/test_triton_compiles.py). For dK and dV, which are two sums at once, tiles of 64
# queries would.
_NARROW = {
    "forward": (Sizes(128, 64, 3, 8), Sizes(64, 64, 3, 4), Sizes(128, 128, 3, 8), Sizes(128, 64, 3, 4)),
    "of_queries": (Sizes(64, 64, 3, 4), Sizes(128, 64, 3, 8), Sizes(128, 32, 3, 4), Sizes(128, 128, 2, 8)),
    "of_keys": (Sizes(32, 128, 3, 8), Sizes(32, 64, 3, 4), Sizes(64, 128, 2, 8)),
}
_USUAL = {
    "forward": (Sizes(128, 64, 3, 8), Sizes(64, 64, 3, 4), Sizes(128, 128, 2, 8)),
    "of_queries": (Sizes(128, 64, 2, 8), Sizes(64, 64, 2, 4), Sizes(128, 32, 3, 8)),
    "of_keys": (Sizes(32, 64, 3, 8), Sizes(32, 128, 2, 8), Sizes(16, 128, 2, 8)),
}
_WIDE = {name: (Sizes(32, 32, 2, 4), Sizes(64, 32, 2, 8), Sizes(32, 64, 2, 8)) for name in KERNELS}
_FLOAT32 = {name: (Sizes(32, 32, 2, 4), Sizes(64, 32, 2, 4), Sizes(32, 64, 2, 4)) for name in KERNELS}


def sizes(name: str, kind: Kind, dtype: torch.dtype) -> tuple[Sizes, ...]:
    """What is worth a try, and first what is taken untried."""
    if dtype == torch.float32:  # whose products have no tensor cores
        return _FLOAT32[name]
    width = max(kind.WIDTH, kind.WIDTH_V)
    return (_NARROW if width <= 64 else _USUAL if width <= 128 else _WIDE)[name]


def about(length: int) -> int:
    """A length as the tuner sees it: the next power of 2."""
    return min(LONGEST, int(triton.next_power_of_2(max(1, length))))


def launch(name: str, length: int, sequences: int, *given: Any, queries: int, keys: int, kind: Kind) -> None:
    """Start a kernel on all blocks of `sequences` of that length, with `given`, the first of it q."""
    kernel, block = KERNELS[name], "BLOCK_N" if name == "of_keys" else "BLOCK_M"

    def grid(sizes: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(length, sizes[block]) * sequences,)

    given = (*given, about(queries), about(keys))
    if not given[0].is_cuda:
        kernel[grid](*given, KIND=kind, BLOCK_M=INTERPRETED, BLOCK_N=INTERPRETED)
        return
    tried = sizes(name, kind, given[0].dtype)
    options: dict[str, Any] = {"KIND": kind, "enable_fp_fusion": True}  # u·scale − m is to be one instruction
    with torch.cuda.device(given[0].device):
        if min(queries, keys) < LONG:
            kernel[grid](*given, **options, **tried[0]._asdict())
        else:
            _tuned(name, tried)[grid](*given, **options)


@cache
def _tuned(name: str, tried: tuple[Sizes, ...]) -> Any:
    configs = [
        triton.Config({"BLOCK_M": each.BLOCK_M, "BLOCK_N": each.BLOCK_N}, each.num_warps, each.num_stages)
        for each in tried
    ]
    # The dtypes of all tensors are in the key by themselves.
    return triton.autotune(configs, key=["about_queries", "about_keys", "KIND"], cache_results=True)(
        KERNELS[name]
    )
