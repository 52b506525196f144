"""A user's encoding: a function that gets `Sizes` and returns an `Encoding`. What it returns is tried once before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .interface import Encoding, Sizes, Undefined


class EncodingError(ValueError):
    """A user's encoding is not what a model can use; one line says what, and where."""


def user_encoding(function: Callable[..., Any], name: str, sizes: Sizes) -> Encoding:
    """What `function(sizes)` returns, each part of it tried at all positions of the context, and at some in two rows.

    Args:
        name: what messages call it.
    Raises EncodingError: it is no `Encoding`, or a part of it gives something other than `Encoding` says: another shape, numbers
        of another kind, NaN or infinity.
    """
    made = function(sizes)
    if not isinstance(made, Encoding):
        raise EncodingError(f"{name} returned {_kind(made)}, no lab.core.position.Encoding")
    if made.axes not in (1, 2):
        raise EncodingError(f"{name}: axes is {made.axes!r}; a text has 1, a grid 2")
    for part in ("added", "rotation", "bias", "places"):
        if (found := getattr(made, part)) is not None and not callable(found):
            raise EncodingError(f"{name}.{part} is {_kind(found)}; it must be a function")
    with torch.no_grad():
        _try_positions(made, name, sizes)
        _try_scores(made, name, sizes)
        if made.places is not None:
            _try_places(made.places, name, sizes)
    return made


def _try_positions(made: Encoding, name: str, sizes: Sizes) -> None:
    line = torch.arange(sizes.seen, device="cpu")
    two_rows = torch.arange(min(6, sizes.seen) // 2 * 2, device="cpu").view(2, -1)
    for positions in (line, two_rows):
        at = positions if made.axes == 1 else torch.stack([positions, positions.flip(-1)], -1)
        if made.added is not None:
            _try(made.added, f"{name}.added", at, (*positions.shape, sizes.d_model))
        if made.rotation is not None:
            if sizes.head_dim % 2:
                raise EncodingError(
                    f"{name}.rotation turns pairs, but head_dim is {sizes.head_dim}: it must be even"
                )
            _try(made.rotation, f"{name}.rotation", at, (*positions.shape, sizes.head_dim // 2), turns=True)


def _try_scores(made: Encoding, name: str, sizes: Sizes) -> None:
    if made.slopes is not None:
        _check(made.slopes, f"{name}.slopes", (sizes.heads,), "")
    if made.bias is not None:
        distances = torch.arange(sizes.seen, device="cpu")
        _try(made.bias, f"{name}.bias", distances, (sizes.heads, sizes.seen), what="distance")


def _try_places(places: Callable[[Tensor, bool], Tensor], name: str, sizes: Sizes) -> None:
    ids = torch.arange(2 * min(4, sizes.seen), device="cpu").view(2, -1)
    for training in (True, False):
        called = f"{name}.places, training={training},"
        found: Any = places(ids, training)
        if not isinstance(found, Tensor) or found.dtype != torch.int64:
            raise EncodingError(f"{called} gave {_kind(found)}; positions are an int64 tensor")
        if found.shape != ids.shape:
            raise EncodingError(f"{called} gave the shape {_size(found.shape)} for ids of {_size(ids.shape)}")
        if int(found.min()) < 0 or int(found.max()) >= sizes.context:
            raise EncodingError(
                f"{called} gave positions {int(found.min())} to {int(found.max())}; the context is 0 to {sizes.context - 1}"
            )


def _try(
    part: Callable[[Tensor], Any],
    called: str,
    at: Tensor,
    shape: tuple[int, ...],
    turns: bool = False,
    what: str = "position",
) -> None:
    try:
        found = part(at)
    except Undefined:
        raise
    except Exception as error:
        said = str(error).partition("\n")[0]
        raise EncodingError(
            f"{called} fails at {what}s of the shape {_size(at.shape)} and {at.dtype}: {type(error).__name__}: {said}"
        ) from error
    _check(found, called, shape, what, turns)


def _check(found: Any, called: str, shape: tuple[int, ...], what: str, turns: bool = False) -> None:
    if not isinstance(found, Tensor):
        raise EncodingError(f"{called} gave {_kind(found)}; it must give a tensor")
    if found.shape != shape:
        raise EncodingError(f"{called} gave the shape {_size(found.shape)}, not {_size(shape)}")
    if turns != found.is_complex() or not (turns or found.is_floating_point()):
        wanted = "complex numbers, as torch.polar gives" if turns else "floating-point numbers"
        raise EncodingError(f"{called} gave {found.dtype}; it must give {wanted}")
    finite = torch.isfinite(torch.view_as_real(found).sum(-1) if turns else found)
    if not bool(finite.all()):
        first = (~finite).nonzero()[0].tolist()
        value = found[tuple(first)].item()
        # Distances are the last dimension, positions the first ones.
        where = f" at {what} {first[-1] if what == 'distance' else first[0]}" if what else ""
        raise EncodingError(f"{called} gave {value}{where}")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    return "None" if value is None else f"a {type(value).__name__}"
