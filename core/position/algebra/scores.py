"""Scores of a random text, and what becomes of them when it moves; in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..interface import EMBEDDING_SCALE, Encoding, Sizes

TOKENS, TWINS = 16, (5, 11)
"""Places of two equal tokens in a text of so many."""


@dataclass(frozen=True)
class Text:
    """A random text, and one layer of attention that reads it.

    Attributes:
        embeddings: (tokens, d_model), of unit variance. query, key, value: (d_model, d_model), which keep it.
    """

    embeddings: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    heads: int


def text(sizes: Sizes, tokens: int, seed: int) -> Text:
    """Drawn by the seed, alike for all encodings."""
    generator, d = torch.Generator("cpu").manual_seed(seed), sizes.d_model

    def draw(rows: int) -> Tensor:
        return torch.randn(rows, d, generator=generator, dtype=torch.float64, device="cpu")

    embeddings, (query, key, value) = draw(tokens), (draw(d) / math.sqrt(d) for _ in range(3))
    return Text(embeddings, query, key, value, sizes.heads)


def with_positions(text: Text, encoding: Encoding, positions: Tensor) -> Tensor:
    """The embeddings and what is added to them, in units of an embedding's component."""
    if encoding.added is None:
        return text.embeddings
    return text.embeddings + encoding.added(positions).double() / EMBEDDING_SCALE


def scores(text: Text, encoding: Encoding, positions: Tensor) -> Tensor:
    """QKᵀ/√head_dim and what is added to it, (heads, tokens, tokens)."""
    x = with_positions(text, encoding, positions)
    q, k = ((x @ weight).view(len(x), text.heads, -1).transpose(0, 1) for weight in (text.query, text.key))
    if encoding.rotation is not None:
        turn = encoding.rotation(positions).to(torch.complex128)
        pairs = (torch.view_as_complex(y.reshape(*y.shape[:-1], -1, 2)) for y in (q, k))
        q, k = (torch.view_as_real(each * turn).flatten(-2) for each in pairs)
    found: Tensor = q @ k.mT / math.sqrt(q.shape[-1])
    if encoding.axes == 1:
        distances = (positions[:, None] - positions).abs().long()
        bias = encoding.scores_by_distance(torch.arange(int(distances.max()) + 1, device="cpu"))
        found = found if bias is None else found + bias.double()[:, distances]
    return found


def moved(text: Text, encoding: Encoding, positions: Tensor, by: int) -> float:
    """The change of all scores when every position is `by` higher, over their size: ‖S′ − S‖ / ‖S‖."""
    before, after = (scores(text, encoding, at) for at in (positions, positions + by))
    return float((after - before).norm() / before.norm())


def twins(text: Text, encoding: Encoding, positions: Tensor, causal: bool) -> float:
    """How far apart attention's results for two equal tokens are, over the size of one of them."""
    first, second = TWINS
    text = replace(text, embeddings=text.embeddings.clone())
    text.embeddings[second] = text.embeddings[first]
    s = scores(text, encoding, positions)
    if causal:
        s = s.masked_fill(torch.ones_like(s, dtype=torch.bool).triu(1), -math.inf)
    x = with_positions(text, encoding, positions)
    values = (x @ text.value).view(len(x), text.heads, -1).transpose(0, 1)
    results = (s.softmax(-1) @ values).transpose(0, 1).flatten(1)
    return float((results[second] - results[first]).norm() / results[first].norm())


def in_bfloat16(encoding: Encoding, like: Tensor) -> Encoding:
    """The same with angles that are computed in bfloat16: position, frequency and their product.

    Frequencies are read off the rotation at position 1 of each axis.

    Args:
        like: a tensor of the dtype in which the encoding gets positions.
    Raises ValueError: it has no rotation, or one that does not turn evenly.
    """
    rotate = encoding.rotation
    if rotate is None:
        raise ValueError("angles are bfloat16, but the encoding turns nothing")
    units = torch.eye(encoding.axes, dtype=like.dtype, device="cpu")
    steps = torch.stack([units, 17 * units])
    turn = rotate(steps if encoding.axes > 1 else steps[:, :, 0]).to(torch.complex128)
    frequency = turn[0].angle()
    if not torch.allclose(turn[1], torch.polar(turn[1].abs(), 17 * frequency), atol=1e-4):
        raise ValueError(
            "angles are bfloat16, but the encoding does not turn evenly from position to position"
        )

    def rotation(positions: Tensor) -> Tensor:
        at = positions if encoding.axes > 1 else positions[..., None]
        angle = (at.bfloat16()[..., None] * frequency.bfloat16()).sum(-2)
        return torch.polar(rotate(positions).abs().double(), angle.double())

    return replace(encoding, rotation=rotation)
