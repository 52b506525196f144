"""How far back a model looks: attention by the distance from a query to a key."""

from __future__ import annotations

import torch

from ..lm.attention_maps import attention_maps
from ..lm.model import Transformer
from .tasks import Texts

READ = 32
"""Texts, the first ones."""


@torch.no_grad()
def attention_by_distance(model: Transformer, texts: Texts) -> list[float]:
    """The attention that the key so many tokens back gets where the answer is predicted, from 0 on: means over layers, heads,
    texts and those queries that have such a key."""
    ids = torch.from_numpy(texts.ids[:READ, :-1]).to(model.embedding.weight.device)
    maps = torch.stack([of_layer.double().mean((0, 1)) for of_layer in attention_maps(model, ids)]).mean(0)
    of_answer = maps[texts.start - 1 :]
    found = []
    for distance in range(ids.shape[1]):
        first = max(0, distance - (texts.start - 1))  # the first query with a key so far back
        rows = torch.arange(first, len(of_answer), device=maps.device)
        found.append(float(of_answer[rows, rows + texts.start - 1 - distance].mean()))
    return found
