"""Encodings of positions: what tells a model where a token stands.

`encoding("rope", Sizes(d_model=64, heads=4, context=128))`: any of them by name; `ENCODINGS` lists them.

* `interface`: what an encoding is, and for which sizes it is made; `registry`: all of them by name; `names`: what
  needs no torch.
* Added to the embeddings: `absolute` (integer, binary, sinusoidal, learned). Added to the scores: `biases` (ALiBi, T5).
* Turning queries and keys: `rotary` (RoPE, partial RoPE), `longer_rotary` (interpolated, NTK, YaRN), `grid` (of two axes).
* `own_places`: positions other than 0, 1, 2, …: randomised, with a random start, coupled.
* `user_encoding`: a user's function, and the check of what it returns.
* `algebra`: `lab run position-algebra`, what can be counted without training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .interface import Encoding, Sizes, Undefined
    from .registry import ENCODINGS, encoding

__all__ = ["ENCODINGS", "Encoding", "Sizes", "Undefined", "encoding"]

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
