"""The transformer of `lab.core.lm` on characters: next-token training on pieces of the text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...lm.model import Config, Transformer
from ...lm.scoring import Sequences, log_probs
from ...lm.training import Recipe, train
from .params import Params

AT_ONCE = 64
"""Test pieces."""


def trained(
    params: Params,
    text: np.ndarray,
    symbols: int,
    seed: int,
    device: str,
    after_step: Callable[[int, float], None],
) -> Transformer:
    """A transformer that has learnt from this text, cut into pieces one after the other."""
    torch.manual_seed(seed)
    config = Config(
        symbols, params.length, params.d_model, params.layers, params.heads, params.heads, 3 * params.d_model
    )
    model = Transformer(config).to(device)
    whole = len(text) // params.length
    pieces = _sequences(text[: whole * params.length].reshape(whole, params.length), 1)
    recipe = Recipe(params.steps, min(params.batch, whole))
    train(model, pieces, recipe, generator=torch.Generator("cpu").manual_seed(seed), after_step=after_step)
    return model


@torch.no_grad()
def log2(model: Transformer, text: np.ndarray, length: int) -> np.ndarray:
    """The log-probability of each character after the first length//2, with as many before it or more, up to the last that
    fills a piece."""
    half = length // 2
    rows = np.lib.stride_tricks.sliding_window_view(text, 2 * half)[::half]
    device = model.embedding.weight.device
    found = [
        log_probs(model, _sequences(rows[i : i + AT_ONCE], half).on(device))[0].cpu().double().numpy()
        for i in range(0, len(rows), AT_ONCE)
    ]
    logs: np.ndarray = np.concatenate(found).reshape(-1) / np.log(2)
    return logs


def _sequences(rows: np.ndarray, given: int) -> Sequences:
    """Of each row (rows, length) so many characters are given, and the others are learnt or judged."""
    ids = torch.as_tensor(np.array(rows), dtype=torch.int64, device="cpu")
    starts = torch.full((len(ids),), given, dtype=torch.int64, device="cpu")
    return Sequences(ids, starts, ids.shape[1] - starts, torch.arange(len(ids), device="cpu"))
