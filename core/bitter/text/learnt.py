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
"""Pieces that are judged together."""
HELD, MOST_HELD = 10, 64
"""Of so many pieces one is not learnt from; at most so many are not."""
LOOKS = 12
"""So often the pieces that are held out are looked at."""


def trained(
    params: Params,
    text: np.ndarray,
    symbols: int,
    seed: int,
    device: str,
    after_look: Callable[[int, float], None],
) -> Transformer:
    """A transformer that has learnt from this text, cut into pieces one after the other.

    The last of `HELD` pieces are not learnt from, but looked at: the weights that are best there are kept, so that little text
    is not learnt by heart. `after_look` is called with the step, and with the bits of a character there.
    """
    torch.manual_seed(seed)
    heads, d_ff = params.heads, 3 * params.d_model
    config = Config(symbols, params.length, params.d_model, params.layers, heads, heads, d_ff)
    model = Transformer(config).to(device)
    whole = len(text) // params.length
    held = min(MOST_HELD, max(1, whole // HELD))
    pieces, kept_out = np.split(text[: whole * params.length].reshape(whole, params.length), [whole - held])
    every, best = max(1, params.steps // LOOKS), float("inf")
    weights = model.state_dict()

    def after_step(step: int, _: float) -> None:
        nonlocal best, weights
        if step % every and step < params.steps:
            return
        bits = -float(np.mean(_log2(model, kept_out, 1)))
        after_look(step, bits)
        if bits < best:
            best, weights = bits, {name: tensor.clone() for name, tensor in model.state_dict().items()}

    recipe = Recipe(params.steps, min(params.batch, len(pieces)))
    draws = torch.Generator("cpu").manual_seed(seed)
    train(model, _sequences(pieces, 1), recipe, generator=draws, after_step=after_step)
    model.load_state_dict(weights)
    return model


def log2(model: Transformer, text: np.ndarray, length: int) -> np.ndarray:
    """The log-probability of each character after the first length//2, with as many before it or more, up to the last that
    fills a piece."""
    half = length // 2
    return _log2(model, np.lib.stride_tricks.sliding_window_view(text, 2 * half)[::half], half)


@torch.no_grad()
def _log2(model: Transformer, rows: np.ndarray, given: int) -> np.ndarray:
    device = model.embedding.weight.device
    found = [
        log_probs(model, _sequences(rows[i : i + AT_ONCE], given).on(device))[0].cpu().double().numpy()
        for i in range(0, len(rows), AT_ONCE)
    ]
    logs: np.ndarray = np.concatenate(found).reshape(-1) / np.log(2)
    return logs


def _sequences(rows: np.ndarray, given: int) -> Sequences:
    """Of each row (rows, length) so many characters are given, and the others are learnt or judged."""
    ids = torch.as_tensor(np.array(rows), dtype=torch.int64, device="cpu")
    starts = torch.full((len(ids),), given, dtype=torch.int64, device="cpu")
    return Sequences(ids, starts, ids.shape[1] - starts, torch.arange(len(ids), device="cpu"))
