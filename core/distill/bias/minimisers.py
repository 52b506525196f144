"""Losses by the names that experiments give them, and the student that minimises each.

Most are cross-entropy with some target, so that their gradient with respect to the logits is q − target, and their
mean over draws and data is that of the mean target, their minimiser. The others are divergences, with the truth as
minimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..losses import (
    forward_kl,
    hard_argmax,
    hard_data,
    hard_draw,
    jsd,
    random_sampling,
    reverse_kl,
    skew,
    top_k,
    tvd,
)

DRAWN = ("data", "draw", "sampled", "top-k-truth")
"""Stochastic losses: only their expectation over data or draws has a stationary point."""


@dataclass(frozen=True)
class Settings:
    """Options of the losses.

    Attributes:
        k: tokens kept by top-k.
        n: draws of sampled.
        share: the teacher's share of the mixture of jsd and skew.
    """

    k: int = 12
    n: int = 50
    share: float = 0.5


def loss(name: str, settings: Settings, labels: Tensor, generator: torch.Generator) -> Callable[..., Tensor]:
    """A loss of the library as a function of (student_logits, teacher_logits).

    Args:
        name: one of `names.ONE`.
        labels: (batch, tokens), the data.
        generator: for the draws of stochastic losses.
    """
    found: dict[str, Callable[..., Tensor]] = {
        "forward-kl": forward_kl,
        "reverse-kl": reverse_kl,
        "jsd": partial(jsd, beta=settings.share),
        "skew": partial(skew, lam=settings.share),
        "tvd": tvd,
        "data": lambda student_logits, _: hard_data(student_logits, labels),
        "draw": partial(hard_draw, generator=generator),
        "argmax": hard_argmax,
        "sampled": partial(random_sampling, n=settings.n, generator=generator),
        "top-k": partial(top_k, k=settings.k),
        "top-k-tail": partial(top_k, k=settings.k, rest="tail"),
        "top-k-truth": partial(top_k, k=settings.k, rest="truth", labels=labels),
    }
    return found[name]


def minimiser(name: str, log_p: Tensor, settings: Settings) -> Tensor:
    """(…, V) log-probs of the student that minimises the expected loss; −∞ for tokens that it leaves out.

    "top-k-tail" has many minimisers, of which this is the truth: the mass outside of the k may be spread in any way.

    Args:
        name: one of `names.ONE`.
        log_p: (…, V), the truth, which is the teacher and the source of the data.
    """
    if name not in ("argmax", "top-k", "top-k-truth"):
        return log_p
    k = 1 if name == "argmax" else settings.k
    kept = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, log_p.topk(k).indices, True)
    on_k = log_p.masked_fill(~kept, -torch.inf)
    mass = on_k.logsumexp(-1, keepdim=True)
    if name == "top-k-truth":
        missing = -torch.expm1(mass.clamp(max=0))
        return log_p + torch.where(kept, missing.log1p(), missing.log())
    return on_k - mass
