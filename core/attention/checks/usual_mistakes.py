"""Guesses the mistake behind a wrong result, by what the usual mistakes of an attention would give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..arguments import Options
from ..standard import standard
from .shapes import Inputs
from .variations import double


def hint(given: Inputs, output: Tensor, expected: Tensor, allowed: float) -> str:
    """The first bad row, and what the usual mistakes would have given."""
    if output.shape != expected.shape:
        return ""
    # A NaN where there should be none is bad as well, and no comparison with it is true.
    right = (output.detach().double() - expected.detach()).abs() <= allowed
    bad = (~(right | expected.isnan())).any(-1).nonzero()
    row = f" (first bad row {int(bad[:, 2].min())})" if len(bad) else ""
    truth = double(given)
    for words, options in _mistakes(truth):
        guess, _ = standard(truth.q, truth.k, truth.v, options)
        if torch.allclose(output.detach().double(), guess, rtol=0, atol=max(allowed, 1e-6), equal_nan=True):
            return f"{row}: {words}?"
    return row


def _mistakes(truth: Inputs) -> Iterator[tuple[str, Options]]:
    options, (queries, keys) = truth.options, (truth.q.shape[2], truth.k.shape[2])
    if options.causal:
        yield "causal ignored", replace(options, causal=False)
        if queries != keys and options.shift is None:
            yield "causal mask aligned top-left", replace(options, shift=0)
        if queries != keys and options.shift == 0:
            yield "causal mask aligned bottom-right", replace(options, shift=None)
    yield "scale left out", replace(options, scale=1.0)
