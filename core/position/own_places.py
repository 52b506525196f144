"""Encodings that count otherwise than 0, 1, 2, …: then a short text shows positions that only longer ones would have.

The positions of a text depend on all of it, or on what its tokens mean. So none of these can tell the position of a token
that is generated behind others: generation refuses them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .absolute import Table
from .interface import Encoding, Sizes, Undefined
from .rotary import rope


def randomised(sizes: Sizes) -> Encoding:
    """Positions are as many of 0 … context − 1 as there are tokens, drawn anew for each text and put in order; rotary
    (Ruoss et al., arXiv:2305.16843, §3). Outside training a text of n tokens always gets the same ones."""

    def places(ids: Tensor, training: bool) -> Tensor:
        batch, length = ids.shape
        if length > sizes.context:
            raise Undefined(f"randomised draws from {sizes.context} positions: {length} tokens do not fit")
        generator = None if training else torch.Generator("cpu").manual_seed(length)
        rows = batch if training else 1
        order = torch.rand(
            rows, sizes.context, generator=generator, dtype=torch.float32, device="cpu"
        ).argsort(1)
        return order[:, :length].sort(1).values.expand(batch, -1).to(ids.device)

    return Encoding(rotation=rope(sizes).rotation, places=places)


def random_start(sizes: Sizes) -> Encoding:
    """Learned vectors of consecutive positions; in training the first is drawn so that the last lies within the context
    (the control of position coupling: Cho et al., arXiv:2405.20671)."""

    def places(ids: Tensor, training: bool) -> Tensor:
        return _started(
            torch.arange(ids.shape[1], device=ids.device).expand(ids.shape), training, sizes.context
        )

    return Encoding(added=Table(sizes.context, sizes.d_model), places=places)


def coupled(sizes: Sizes, separators: Sequence[int] = ()) -> Encoding:
    """Learned vectors; a token's position is the number of tokens since the last separator, so that the digits of one
    worth share it where all numbers begin with their lowest digit (Cho et al., position coupling, arXiv:2405.20671; McLeish
    et al., Abacus, arXiv:2405.17399). In training the first is drawn.

    Args:
        separators: ids of the tokens between numbers; a separator itself has position 0.
    Raises ValueError: there are none, so that nothing says where a number begins.
    """
    if not separators:
        raise ValueError("coupled: which tokens stand between numbers? It needs `separators`, their ids")
    between = torch.tensor(list(separators), dtype=torch.int64, device="cpu")

    def places(ids: Tensor, training: bool) -> Tensor:
        column = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
        separates = torch.isin(ids, between.to(ids.device))
        last = torch.where(separates, column, -1).cummax(1).values
        within = column - last
        return torch.where(separates, 0, _started(within, training, sizes.context))

    return Encoding(added=Table(sizes.context, sizes.d_model), places=places)


def _started(positions: Tensor, training: bool, context: int) -> Tensor:
    """Positions (batch, length), all of a row moved by one draw in training, as far as the context allows."""
    if not training or not positions.numel():
        return positions
    room = (context - positions.max(1, keepdim=True).values).clamp(min=0)
    drawn = torch.rand(len(positions), 1, dtype=torch.float32, device="cpu").to(positions.device)
    return positions + (drawn * room).long()
