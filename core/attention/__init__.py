"""Attention: the textbook form, flash attention in tiles, and PyTorch's own, behind one signature.

`attention(q, k, v, causal=True, backend="flash")`: every backend by name; `BACKENDS` lists them.

* `reference`: the papers' algorithms line by line.
* `arguments`: the options, each declared here, and the checks of arguments; `band`: the keys inside causal order and
  window; `alibi`: slopes; `dropout`: which probabilities are kept; `sink`: the gradient of one.
* `standard`: the textbook form; `masked_products`: products that ignore masked NaN; `short`: three operations for short
  sequences; `sdpa`, `flex`: PyTorch's own.
* `flash`: tiles in PyTorch, with first and second derivative.
* `flash_numba`: the entry to `numba`, tiles compiled for the CPU, and `operator`, these as operators of PyTorch;
  `flash_triton`: the entry to `triton`, tiles compiled for the GPU.
* `registry`: every backend by name, and `attention` itself.
* `varlen`: sequences packed one after another; `decode`: one query beside a cache, split over its keys.
* `checks`: whether a function is right.
* `memory_traffic`: walks the algorithms' tiles and counts the bytes that they move; `work`: the work of a call.
* `params`: what an experiment may vary; `from_params`: the options that they describe; `user_function`: how a user's
  attention is called; `products`: PyTorch's by oneDNN; `rivals`: attention of other packages, on a GPU; `trial`: one point of an experiment;
  `preload`: what the server of trials has loaded besides; `kernels`: what is compiled beforehand.
* `precision`: the papers' claims about numbers, in emulated arithmetic.
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
    "BACKENDS", "Backend", "alibi_slopes", "attention", "attention_decode", "attention_varlen",
    "kernel_of_sdpa", "merge",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
