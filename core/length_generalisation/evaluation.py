"""Right answers to texts of one length, attention on the right key, and a factor on the logits of attention."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..lm.attention_maps import attention_maps
from ..lm.model import Transformer
from .tasks import Texts

FACTORS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5)
"""Of which the best is taken."""
AT_ONCE = 8192
"""Tokens that are read at once."""


@dataclass(frozen=True)
class Scored:
    """Of answers, read by one forward pass: the likeliest tokens are the greedy answer until the first of them is wrong.

    Attributes:
        right: the share of answers all of whose tokens are the likeliest ones. token: the share of such tokens.
        loss: nats for a token.
    """

    right: float
    token: float
    loss: float


def score(model: Transformer, texts: Texts) -> Scored:
    """Raises Undefined: the model's encoding says nothing of texts as long as these."""
    right, losses = zip(*(_judged(model, ids, texts) for ids in _parts(model, texts)), strict=True)
    hit = torch.cat(right)
    return Scored(
        float(hit.all(1).double().mean()),
        float(hit.double().mean()),
        float(torch.cat(losses).double().mean()),
    )


def answered(model: Transformer, texts: Texts) -> Tensor:
    """The likeliest tokens of the answers, (texts, answer), each behind the right ones."""
    return torch.cat([_logits(model, ids, texts).argmax(-1) for ids in _parts(model, texts)])


@torch.no_grad()
def right_key(model: Transformer, texts: Texts) -> float | None:
    """The attention that the key which holds a token gets where this is predicted: that of the head, of any layer, which gives
    most, meaned over tokens. None where tokens have no such key."""
    source = torch.tensor(texts.source, device="cpu")
    if not bool((source >= 0).any()):
        return None
    found: list[Tensor] = []
    for first, ids in zip(range(0, len(source), _rows(texts)), _parts(model, texts), strict=True):
        at = source[first : first + len(ids)].to(ids.device)
        query = torch.arange(texts.start - 1, ids.shape[1] - 1, device=ids.device)
        index = at.clamp(min=0)[:, None, :, None]
        most = torch.zeros(at.shape, dtype=torch.float32, device=ids.device)
        for maps in attention_maps(model, ids[:, :-1]):
            on_key = maps[:, :, query].gather(-1, index.expand(-1, maps.shape[1], -1, -1)).squeeze(-1)
            most = torch.maximum(most, on_key.amax(1))
        found.append(most[at >= 0])
    return float(torch.cat(found).double().mean())


def with_factor(model: Transformer, factor: float) -> Transformer:
    """A copy whose logits of attention, biases among them, are multiplied."""
    scaled, encoding = copy.deepcopy(model), model.encoding
    blocks: Sequence[Any] = list(scaled.blocks)
    with torch.no_grad():
        for block in blocks:
            block.qkv.weight[: model.config.d_model].mul_(factor)  # queries come first
    bias = encoding.bias
    if encoding.slopes is not None:
        scaled.set_encoding(replace(encoding, slopes=factor * encoding.slopes))
    elif bias is not None:
        scaled.set_encoding(replace(encoding, bias=lambda distances: factor * bias(distances)))
    return scaled


def best_factor(model: Transformer, texts: Texts) -> float:
    """Of `FACTORS` the one with the lowest loss, as in DroPE (arXiv:2512.12167, C.2)."""
    return min(FACTORS, key=lambda factor: score(with_factor(model, factor), texts).loss)


def _parts(model: Transformer, texts: Texts) -> list[Tensor]:
    ids = torch.from_numpy(texts.ids).to(model.embedding.weight.device)
    rows = _rows(texts)
    return [ids[first : first + rows] for first in range(0, len(ids), rows)]


def _rows(texts: Texts) -> int:
    return max(1, AT_ONCE // int(texts.ids.shape[1]))


@torch.no_grad()
def _logits(model: Transformer, ids: Tensor, texts: Texts) -> Tensor:
    return model.logits(model.hidden(ids[:, :-1])[:, texts.start - 1 :])


def _judged(model: Transformer, ids: Tensor, texts: Texts) -> tuple[Tensor, Tensor]:
    """Of tokens that count, (texts, some of the answer): whether each is the likeliest, and its negative log-likelihood."""
    counts = torch.from_numpy(texts.counts).to(ids.device)
    logits, wanted = _logits(model, ids, texts)[:, counts], ids[:, texts.start :][:, counts]
    nll = torch.logsumexp(logits, -1) - logits.gather(-1, wanted[..., None]).squeeze(-1)
    return logits.argmax(-1) == wanted, nll
