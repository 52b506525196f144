"""Softmax in its rewritings: naive, safe, online, merged, two-pass, fused with top-k.

`SOFTMAXES["online"](x, dim=-1)`: every softmax of a tensor by name, with one signature.

* `reference`: the papers' algorithms line by line; `arithmetic`: what they do with a number or a vector of numbers;
  `counting`: runs them and counts what they touch.
* `operations`: naive, safe, online and eager softmax in PyTorch operations; `two_pass`, `exp2`: two more;
  `logarithms`: log-softmax and logsumexp; `topk`: softmax fused with a search.
* `numba`: kernels for the CPU; `triton`: kernels for the GPU; `differentiable`: gradients for both; `operator`: the
  Numba kernels as operators of PyTorch.
* `registry`: every implementation by name.
* `battery`: whether an implementation is right; `properties`: where it overflows, how exact ⊕ and e^x are.
* `params`: what an experiment may vary; `user_function`: how a user's function is called; `trial`: one point of an
  experiment; `preload`: what the server of trials has loaded besides.
* `alternatives`: functions that stand where softmax stands and compute something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .counting import Counts, count
    from .logarithms import log_softmax, logsumexp
    from .operations import naive, normalizer, online, safe
    from .reference import IDENTITY, merge
    from .registry import SOFTMAXES, Softmax
    from .topk import online_topk, safe_topk

__all__ = [
    "IDENTITY", "SOFTMAXES", "Counts", "Softmax", "count", "log_softmax", "logsumexp", "merge", "naive",
    "normalizer", "online", "online_topk", "safe", "safe_topk",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
