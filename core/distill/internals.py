"""A model's last hidden states, and its last block's queries, keys and values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..lm.model import Config, Transformer


def hidden_states_and_qkv(model: Transformer, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The hidden states that logits are made of, and the input of the last block's attention.

    Returns: (batch, tokens, d_model); and (batch, tokens, heads + 2 · kv_heads, head_dim): queries, then
    keys, then values, before positions are told.
    """
    outputs: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        outputs.append(output)

    last: Any = model.blocks[-1]
    hook = last.qkv.register_forward_hook(keep)
    try:
        hidden_states = model.hidden(ids)
    finally:
        hook.remove()
    [qkv] = outputs
    return hidden_states, qkv.view(*qkv.shape[:2], -1, model.config.head_dim)


def queries_keys_values(qkv: Tensor, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """The three parts, each (batch, heads, tokens, head_dim)."""
    q, k, v = torch.split(qkv.transpose(1, 2), [config.heads, config.kv_heads, config.kv_heads], 1)
    return q, k, v
