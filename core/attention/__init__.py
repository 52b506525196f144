"""Attention: the textbook form, flash attention in tiles, and PyTorch's own, behind one signature.

* `attention(q, k, v, causal=True, backend="flash")`: every backend by name; `BACKENDS` lists them.
* `attention_varlen`: sequences packed behind each other; `attention_decode`: one query beside a cache, split over its keys.
* `reference`: the papers' algorithms line by line.
* `standard`, `flash` (tiles in PyTorch, with first and second derivative), `flash_numba` (tiles compiled for the CPU; its
  kernels are in `numba`), `flash_triton` (for the GPU; kernels in `triton`), `short`, `sdpa`, `flex`: the backends.
* `band`, `scores`, `dropout`: what may be asked besides, inside a tile; `hidden`: a NaN behind a mask stays there.
* `memory_traffic`: walks the algorithms' tiles and counts the bytes that they move; `work`: what a call has to do.
* `precision`: the papers' claims about numbers, in emulated arithmetic; `rivals`: other packages, on a GPU.
* `battery`: whether one is right, on `shapes` and `variations` of an input; `rounding` is what must be allowed,
  `usual_mistakes` a guess at what is wrong.
* `trial`: what the experiment files run.

Names load when they are first asked for, so that importing `lab.core.attention.trial` for its parameters costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .alibi import alibi_slopes
    from .decode import attention_decode, merge
    from .registry import BACKENDS, Backend, attention
    from .sdpa import kernel_of_sdpa
    from .varlen import attention_varlen

__all__ = [
    "BACKENDS",
    "Backend",
    "alibi_slopes",
    "attention",
    "attention_decode",
    "attention_varlen",
    "kernel_of_sdpa",
    "merge",
]

if not TYPE_CHECKING:
    __getattr__ = names_of(
        __name__,
        {
            "alibi": ("alibi_slopes",),
            "registry": ("BACKENDS", "Backend", "attention"),
            "sdpa": ("kernel_of_sdpa",),
            "varlen": ("attention_varlen",),
            "decode": ("attention_decode", "merge"),
        },
    )
