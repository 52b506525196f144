"""Functions that replace softmax and compute something else.

`ALTERNATIVES["sparsemax"](x, dim=-1)`: by name, each with its reference in float64. All are in PyTorch operations, of any
shape, dimension and floating dtype, differentiable twice, and take an entry of −∞ for a masked one: it gets 0 and changes
nothing.

* `truths`: each in float64, by its definition.
* `scaled`: ssmax and softcapped; `sinks`: softmax1 and sink; `sparse`: sparsemax and entmax15; `unnormalised`: sigmoid and
  softpick.
* `registry`: all by name.
* `properties`: figures in which they differ.
* `params`: what an experiment may vary; `trial`: one point of an experiment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import names_of

if TYPE_CHECKING:
    from .registry import ALTERNATIVES, Alternative
    from .scaled import softcapped, ssmax
    from .sinks import sink, softmax1
    from .sparse import entmax15, sparsemax
    from .unnormalised import sigmoid, softpick

__all__ = [
    "ALTERNATIVES", "Alternative", "entmax15", "sigmoid", "sink", "softcapped", "softmax1", "softpick",
    "sparsemax", "ssmax",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
