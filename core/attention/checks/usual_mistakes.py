"""Guesses the mistake behind a wrong result, by what the usual mistakes of an attention would give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..arguments import Options
from ..band import band_of
from ..standard import standard
from .shapes import Inputs
from .variations import double


def hint(given: Inputs, output: Tensor, expected: Tensor, allowed: float) -> str:
    """The first bad row, what the usual mistakes would have given, and the contract that was broken."""
    if output.shape != expected.shape:
        return ""
    # A NaN where there should be none is bad as well, and no comparison with it is true.
    right = (output.detach().double() - expected.detach()).abs() <= allowed
    bad = (~(right | expected.isnan())).any(-1)
    row = f" (first bad row {int(bad.nonzero()[:, 2].min())})" if bad.any() else ""
    truth = double(given)
    for words, options in _mistakes(truth):
        guess, _ = standard(truth.q, truth.k, truth.v, options)
        if torch.allclose(output.detach().double(), guess, rtol=0, atol=max(allowed, 1e-6), equal_nan=True):
            row += f": {words}?"
            break
    return row + _contract(truth, bad)


def _contract(truth: Inputs, bad: Tensor) -> str:
    """What a caller is promised about rows without keys, and about causal order, where that is what went wrong."""
    options, (queries, keys) = truth.options, (truth.q.shape[2], truth.k.shape[2])
    blind = _see_no_key(truth)
    if (bad & blind).any():
        rows = (bad & blind).flatten(0, 1).any(0).nonzero().flatten().tolist()
        return f"; {_rows(rows)} no key; 0 is expected there"
    if bad.any() and options.causal and queries != keys:
        aligned = (
            "bottom-right: the last query sees the last key"
            if options.shift is None
            else "top-left here: the first query sees the first key"
        )
        return f"; causal is aligned {aligned}"
    return ""


def _see_no_key(truth: Inputs) -> Tensor:
    """(batch, heads, queries) or what broadcasts to it: whether a query may attend to nothing."""
    queries, keys = truth.q.shape[2], truth.k.shape[2]
    band = band_of(queries, keys, truth.options).mask(queries, keys, truth.q.device)
    allowed = torch.ones(queries, keys, dtype=torch.bool, device=truth.q.device) if band is None else band
    mask = truth.options.attn_mask
    if mask is not None:
        allowed = allowed & (mask if mask.dtype == torch.bool else mask > -math.inf)
    return (~allowed.any(-1)).expand(*truth.q.shape[:2], queries)


def _rows(rows: list[int]) -> str:
    """`row 5 sees`, `rows 0–89 see`, `rows 0, 3, 6, … see`."""
    if len(rows) == 1:
        return f"row {rows[0]} sees"
    if rows[-1] - rows[0] == len(rows) - 1:
        return f"rows {rows[0]}–{rows[-1]} see"
    return f"rows {', '.join(map(str, rows[:3]))}{', …' if len(rows) > 3 else ''} see"


def _mistakes(truth: Inputs) -> Iterator[tuple[str, Options]]:
    options, (queries, keys) = truth.options, (truth.q.shape[2], truth.k.shape[2])
    if options.causal:
        yield "causal ignored", replace(options, causal=False)
        if queries != keys and options.shift is None:
            yield "causal mask aligned top-left", replace(options, shift=0)
        if queries != keys and options.shift == 0:
            yield "causal mask aligned bottom-right", replace(options, shift=None)
    yield "scale left out", replace(options, scale=1.0)
