"""The losses by the names that experiments give them. A leaf, and no torch."""

from __future__ import annotations

from typing import Literal, get_args

One = Literal[
    "forward-kl",
    "reverse-kl",
    "jsd",
    "skew",
    "tvd",
    "data",
    "draw",
    "argmax",
    "sampled",
    "top-k",
    "top-k-tail",
    "top-k-truth",
]
"""Of one vocabulary."""

Two = Literal[
    "uld",
    "exact-string",
    "min-ed",
    "gold-observed",
    "gold-bayesian",
    "alm-tokens",
    "alm-words",
    "marginal",
    "exact-marginal",
]
"""Of two."""

ONE: tuple[str, ...] = get_args(One)
TWO: tuple[str, ...] = get_args(Two)
