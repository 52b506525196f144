"""A teacher's outputs at some tokens encoded as bytes, and decoded again.

    | form    | bytes of n tokens                                                                             |
    |---------|-----------------------------------------------------------------------------------------------|
    | full    | (n, V) log-probabilities                                                                      |
    | top-k   | planes of (n, k) ids, then of (n, k) log-probabilities                                        |
    | sampled | n numbers of different tokens (16 bits), then planes of all entries, id and count − 1 in one  |

A plane holds the first bytes of all numbers, the next plane the second bytes, …, since similar bytes in a row
compress better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .losses.arguments import first, position_words
from .losses.sparse import Sampled, TopK

Output = Tensor | TopK | Sampled
Arrays = tuple[NDArray[Any], ...]

COUNT_BITS = 7
"""Bits of a count, 1 to 128, as in arXiv:2503.16870."""


@dataclass(frozen=True)
class Kind:
    """The properties that all outputs of a file share.

    Attributes:
        form: "full", "top-k" or "sampled".
        width: columns of the full and the top-k form; bytes of an entry of the sampled one.
        dtype: of the log-probabilities or entries, as numpy writes it.
    """

    form: str
    vocabulary: int
    width: int
    temperature: float
    dtype: str


def rows_of(output: Output, dtype: torch.dtype) -> tuple[Kind, Arrays]:
    """One row for each token: log-probabilities (of dtype), or ids and log-probabilities, or ids and counts.

    Raises ValueError: logits that are no distribution (the message says where), a count or a vocabulary that
    does not fit.
    """
    if isinstance(output, Tensor):
        log_p = torch.log_softmax(output.detach().float(), -1)
        bad = first(log_p[..., 0].isnan())
        if bad is not None:
            raise ValueError(
                f"logits to keep are no distribution at {position_words(bad)}: NaN, +∞, or nothing but −∞"
            )
        values = log_p.flatten(0, -2).to(dtype).cpu().numpy()
        return Kind("full", values.shape[1], values.shape[1], 1.0, values.dtype.str), (values,)
    ids = output.ids.flatten(0, -2).cpu().numpy().astype(np.uint32)
    if isinstance(output, TopK):
        values = output.log_probs.flatten(0, -2).cpu().numpy().astype(np.float16)
        kind = Kind("top-k", output.vocabulary, ids.shape[1], output.temperature, values.dtype.str)
        return kind, (ids, values)
    counts = output.counts.flatten(0, -2).cpu().numpy().astype(np.int64)
    if counts.size and counts.max() > 1 << COUNT_BITS:
        raise ValueError(
            f"a token was drawn {counts.max()} times; {COUNT_BITS} bits hold 1 to {1 << COUNT_BITS}: draw fewer"
        )
    if ids.shape[1] >= 1 << 16:
        raise ValueError(
            f"{ids.shape[1]} different tokens at one position; fewer than {1 << 16} fit: draw fewer"
        )
    width = _entry_bytes(output.vocabulary)
    return Kind("sampled", output.vocabulary, width, output.temperature, "<u4"), (ids, counts)


def encoded(kind: Kind, arrays: Arrays) -> bytes:
    """The bytes of rows of this kind."""
    if kind.form == "full":
        full: bytes = arrays[0].tobytes()
        return full
    ids, values = arrays
    if kind.form == "top-k":
        return _planes(ids.astype(_id_type(kind.vocabulary))) + _planes(values)
    drawn = values > 0
    entries = ids[drawn] | (values[drawn] - 1).astype(np.uint32) << _id_bits(kind.vocabulary)
    numbers: bytes = drawn.sum(1).astype("<u2").tobytes()
    return numbers + _planes(entries.astype("<u4"), kind.width)


def decoded(kind: Kind, data: bytes, tokens: int) -> Arrays:
    """Ids and log-probabilities or counts, (tokens, width), of the two sparse forms."""
    if kind.form == "top-k":
        return _decode_top_k(data, tokens, kind.width, kind.vocabulary)
    return _decode_sampled(data, tokens, kind.width, kind.vocabulary)


def _decode_top_k(data: bytes, tokens: int, k: int, vocabulary: int) -> Arrays:
    id_type = np.dtype(_id_type(vocabulary))
    split = tokens * k * id_type.itemsize
    ids = _from_planes(data[:split], id_type.itemsize, id_type)
    return ids.reshape(tokens, k), _from_planes(data[split:], 2, np.dtype("<f2")).reshape(tokens, k)


def _decode_sampled(data: bytes, tokens: int, width: int, vocabulary: int) -> Arrays:
    drawn = np.frombuffer(data[: 2 * tokens], "<u2")
    entries = _from_planes(data[2 * tokens :], width, np.dtype("<u4"))
    column = np.arange(int(drawn.max()))
    there = column < drawn[:, None]
    ids, counts = (np.zeros(there.shape, np.int64) for _ in range(2))
    ids[there] = entries & ((1 << _id_bits(vocabulary)) - 1)
    counts[there] = (entries >> _id_bits(vocabulary)) + 1
    return ids, counts


def _planes(x: NDArray[Any], width: int | None = None) -> bytes:
    columns = np.ascontiguousarray(x).view(np.uint8).reshape(-1, x.dtype.itemsize)
    planes: bytes = columns[:, :width].T.tobytes()
    return planes


def _from_planes(data: bytes, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    columns = np.frombuffer(data, np.uint8).reshape(width, -1)
    whole = np.zeros((columns.shape[1], dtype.itemsize), np.uint8)
    whole[:, :width] = columns.T
    return whole.reshape(-1).view(dtype)


def _id_bits(vocabulary: int) -> int:
    return (vocabulary - 1).bit_length()


def _id_type(vocabulary: int) -> str:
    return "<u2" if vocabulary <= 1 << 16 else "<u4"


def _entry_bytes(vocabulary: int) -> int:
    width = -(-(_id_bits(vocabulary) + COUNT_BITS) // 8)
    if width > 4:
        raise ValueError(f"a vocabulary of {vocabulary} does not fit: 32 bits hold an id and a count")
    return width
