"""The probabilities of attention, which no backend of ours keeps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..position import Encoding
from ..position.rotary import rotated
from .model import Config, Transformer, biased


def attention_maps(model: Transformer, ids: Tensor) -> list[Tensor]:
    """Of each layer, (batch, heads, queries, keys), for token ids (batch, tokens)."""
    outputs: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        outputs.append(output.view(*output.shape[:2], -1, model.config.head_dim))

    blocks: list[Any] = list(model.blocks)
    hooks = [block.qkv.register_forward_hook(keep) for block in blocks]
    try:
        model.hidden(ids)
    finally:
        for hook in hooks:
            hook.remove()
    positions = model.positions(ids)
    return [maps_of(qkv, model.config, model.encoding, positions) for qkv in outputs]


def maps_of(qkv: Tensor, config: Config, encoding: Encoding, positions: Tensor | None = None) -> Tensor:
    """softmax(q·kᵀ/√d + bias) of causal attention, (batch, heads, queries, keys).

    Args:
        qkv: (batch, tokens, heads + 2 · kv_heads, head_dim), before positions are told.
        positions: (tokens,) or (batch, tokens); 0, 1, … unless given.
    """
    tokens, of = qkv.shape[1], torch.arange(qkv.shape[1], device=qkv.device)
    both = qkv[:, :, : config.heads + config.kv_heads].contiguous()
    if encoding.rotation is not None:
        both = rotated(both, encoding.rotation(of if positions is None else positions).unsqueeze(-2))
    q, k = torch.split(both.transpose(1, 2), [config.heads, config.kv_heads], 1)
    scores = q @ k.repeat_interleave(config.heads // config.kv_heads, 1).mT / math.sqrt(config.head_dim)
    by_distance = encoding.scores_by_distance(of)
    if by_distance is None:
        by_distance = scores.new_zeros(1, tokens)
    maps: Tensor = (scores + biased(by_distance, tokens, None)).softmax(-1)
    return maps
