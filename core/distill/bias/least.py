"""Losses by the names that experiments give them, and the student at which each is least.

Most are cross-entropy with some target, so that their gradient with respect to the logits is q − target, and their mean
over draws and data is that of the mean target: it is least there. The others are divergences, least at the truth.
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

LOSSES = (
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
)

DRAWN = ("data", "draw", "sampled", "top-k-truth")
"""What differs from one text or draw to the next: of these only a mean can be at rest anywhere."""


@dataclass(frozen=True)
class Settings:
    """Of a loss: tokens kept, draws, and the teacher's share of a mixture (jsd and skew)."""

    k: int = 12
    n: int = 50
    share: float = 0.5


def loss(name: str, settings: Settings, labels: Tensor, generator: torch.Generator) -> Callable[..., Tensor]:
    """A loss of the library as a function of (student_logits, teacher_logits).

    Args:
        name: one of `LOSSES`.
        labels: (batch, tokens), the data.
        generator: for what is drawn.
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


def least_at(name: str, log_p: Tensor, settings: Settings) -> Tensor:
    """(…, V) probabilities of the student at which the loss is least, on average over draws and data.

    For "top-k-tail" the truth is one of many: what is outside of the k may be spread in any way.

    Args:
        name: one of `LOSSES`.
        log_p: (…, V), the truth, which is the teacher and what the data are drawn from.
    """
    p = log_p.exp()
    if name == "argmax":
        return torch.zeros_like(p).scatter(-1, log_p.argmax(-1, keepdim=True), 1.0)
    if name not in ("top-k", "top-k-truth"):
        return p
    kept = torch.zeros_like(p).scatter(-1, log_p.topk(settings.k).indices, 1.0)
    mass = (p * kept).sum(-1, keepdim=True)
    if name == "top-k":
        return p * kept / mass
    return p * (kept + 1 - mass)
