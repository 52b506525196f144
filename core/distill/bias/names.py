"""The losses' names in experiments, without torch."""

from __future__ import annotations

from typing import Literal, get_args

One = Literal[
    "forward-kl", "reverse-kl", "jsd", "skew", "tvd", "data", "draw", "argmax", "sampled", "top-k",
    "top-k-tail", "top-k-truth",
]  # fmt: skip
"""Losses for one vocabulary."""

Two = Literal[
    "uld", "exact-string", "min-ed", "gold-observed", "gold-bayesian", "alm-tokens", "alm-words", "marginal",
    "exact-marginal",
]  # fmt: skip
"""Losses for two vocabularies."""

ONE: tuple[str, ...] = get_args(One)
TWO: tuple[str, ...] = get_args(Two)
