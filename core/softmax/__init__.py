"""Softmax in its rewritings: naive, safe, online, merged, fused with top-k.

* `SOFTMAXES["online"](x, dim=-1)`: every softmax of a tensor by name, with one signature.
* `reference`: the papers' algorithms line by line; `counting` runs them and counts what they touch.
* `operations`, `logarithms`, `topk`: the same in PyTorch operations, with gradients.
* `trial`: what the experiment files run.

Names load when they are first asked for, so that importing `lab.core.softmax.trial` for its parameters costs no torch.
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
    "IDENTITY",
    "SOFTMAXES",
    "Counts",
    "Softmax",
    "count",
    "log_softmax",
    "logsumexp",
    "merge",
    "naive",
    "normalizer",
    "online",
    "online_topk",
    "safe",
    "safe_topk",
]

if not TYPE_CHECKING:
    __getattr__ = names_of(
        __name__,
        {
            "counting": ("Counts", "count"),
            "logarithms": ("log_softmax", "logsumexp"),
            "operations": ("naive", "normalizer", "online", "safe"),
            "reference": ("IDENTITY", "merge"),
            "registry": ("SOFTMAXES", "Softmax"),
            "topk": ("online_topk", "safe_topk"),
        },
    )
