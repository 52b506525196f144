"""What an encoding of positions is: up to four parts, each a function of positions, where a model may use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

EMBEDDING_SCALE = 0.02
"""The standard deviation of token embeddings when training begins; vectors that are added to them are given in this unit."""


@dataclass(frozen=True)
class Sizes:
    """Of the model that an encoding is made for.

    Attributes:
        d_model: width of the embeddings. heads: of queries.
        context: positions that are told apart, 0 … context − 1.
        trained: those that training shows; `None`: all of the context.
        theta: the base of the frequencies of sinusoids and rotations.
    """

    d_model: int
    heads: int
    context: int
    trained: int | None = None
    theta: float = 10_000.0

    @property
    def head_dim(self) -> int:
        return self.d_model // self.heads

    @property
    def seen(self) -> int:
        """Positions that training shows."""
        return self.context if self.trained is None else self.trained


@dataclass(frozen=True)
class Encoding:
    """How a model is told where its tokens stand. A part that is None does nothing; one that is a `torch.nn.Module` is
    trained with the model. Positions are whole numbers, int64; encodings here take float64 too, and then compute in double
    precision what is not learned.

    Attributes:
        added: positions (…) to vectors (…, d_model), added to the embeddings.
        rotation: positions (…) to complex numbers (…, head_dim/2), which the pairs (2j, 2j + 1) of queries and keys are
            multiplied by.
        slopes: (heads,): of ALiBi; slope · distance is subtracted from a score.
        bias: distances (n,), 0, 1, …, from a query back to a key, to numbers (heads, n), added to the scores.
        places: token ids (batch, length), and whether this is training, to positions (batch, length); None: 0, 1, 2, …
        axes: 1 for a text. With 2, positions are (…, 2), of a grid.
    Raises ValueError: parts that exclude each other.
    """

    added: Callable[[Tensor], Tensor] | None = None
    rotation: Callable[[Tensor], Tensor] | None = None
    slopes: Tensor | None = None
    bias: Callable[[Tensor], Tensor] | None = None
    places: Callable[[Tensor, bool], Tensor] | None = None
    axes: int = 1

    def __post_init__(self) -> None:
        if self.slopes is not None and self.bias is not None:
            raise ValueError("an encoding has slopes or bias: both are added to the scores")
        if self.places is not None and (self.slopes is not None or self.bias is not None):
            raise ValueError(
                "slopes and bias go by the distance of tokens, so that places would change nothing"
            )

    def scores_by_distance(self, distances: Tensor) -> Tensor | None:
        """What is added to the scores at these distances (n,): (heads, n); None: nothing is."""
        if self.slopes is not None:
            return -self.slopes.to(distances.device)[:, None] * distances
        return None if self.bias is None else self.bias(distances)


def precise_as(positions: Tensor, x: Tensor) -> Tensor:
    """What was computed in double precision, in single, which models use; as it is where positions are float64."""
    if positions.dtype == torch.float64:
        return x
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


class Undefined(ValueError):
    """An encoding says nothing of a position that it was asked for; the message says which."""
