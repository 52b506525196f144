"""One encoding of positions, and what can be counted of it: `lab run position-algebra`. Nothing is trained.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...own_files import is_reference
from ...trial import Context, HeatMap, Refused
from .params import Params

if TYPE_CHECKING:
    from torch import Tensor

    from ..interface import Encoding, Sizes

__all__ = ["Params", "trial"]

SIDE = 8
"""Of the grid; a text has as many tokens."""
SHIFTS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]
FAR = 1024
"""Distances over which a score is followed, and positions whose vectors are measured."""
SHOWN = 64
"""Positions in the picture of an encoding."""
FIGURE = 256
"""Distances of RoFormer's Figure 2."""
WANTED = 1000
POINTS = 120
"""Of a curve."""


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Count; the seed is that of the random text, and of what an encoding draws when it is made.

    Returns: those of the metrics in experiments/position-algebra.yaml that mean something for the encoding. Recorded along
    `shift`, `position`, `distance` and `length`: `moved`, `apart`, `score` and
    `bound`, `idle`.
    Raises Refused: no such encoding, or it does not fit to the sizes. EncodingError: a user's is not what it must be.
    """
    import torch

    from ..interface import Sizes
    from .scores import in_bfloat16

    torch.manual_seed(context.seed)
    sizes = Sizes(params.d_model, params.heads, params.context, params.trained, params.theta)
    encoding, everywhere = _encoding(params, sizes, context)
    if params.angles == "bfloat16":
        try:
            encoding = in_bfloat16(encoding, everywhere)
        except ValueError as error:
            raise Refused(str(error)) from error
    with torch.no_grad():
        found = _of_scores(encoding, sizes, everywhere, context)
        if encoding.axes == 1:
            found |= _of_a_text(encoding, params, everywhere, context)
            _show(encoding, everywhere[:SHOWN], context)
        elif encoding.rotation is not None:
            from .geometry import diagonals

            found["one_offset"], found["diagonal"] = diagonals(encoding.rotation, everywhere)
    return {name: value for name, value in found.items() if value is not None}


def _encoding(params: Params, sizes: Sizes, context: Context) -> tuple[Encoding, Tensor]:
    """It, and all positions that it knows, (n,): float64 for ours, which compute in double precision then."""
    import torch

    from ..absolute import Table
    from ..registry import encoding
    from ..user_encoding import user_encoding

    name = params.implementation or context.variant
    if is_reference(name):
        made = user_encoding(context.load(name), name.rpartition(":")[2], sizes)
        return made, torch.arange(sizes.seen, device="cpu")
    try:
        made = encoding(name, sizes)
    except ValueError as error:
        raise Refused(str(error)) from error
    if isinstance(made.bias, torch.nn.Module):  # all 0, where nothing has been learned
        for weight in made.bias.parameters():
            torch.nn.init.normal_(weight)
    known = made.added.num_embeddings if isinstance(made.added, Table) else sizes.context
    return made, torch.arange(known, dtype=torch.float64, device="cpu")


def _show(encoding: Encoding, positions: Tensor, context: Context) -> None:
    """A picture of it, position by dimension."""
    from . import geometry

    if (found := geometry.picture(encoding, positions)) is not None:
        columns, values = found
        title = (
            "What is told of each position" if columns == "component" else "What is added at each distance"
        )
        rows = "position" if columns == "component" else "distance"
        table = tuple(map(tuple, values.tolist()))
        context.sample(0, HeatMap(title=title, rows=rows, columns=columns, values=table))


def _of_scores(
    encoding: Encoding, sizes: Sizes, everywhere: Tensor, context: Context
) -> dict[str, float | None]:
    """What becomes of the scores of a text, or of a grid, when all positions shift; and of two equal tokens."""
    import torch

    from . import scores

    positions = everywhere[: SIDE**2]
    if encoding.axes == 2:
        positions = torch.cartesian_prod(everywhere[:SIDE], everywhere[:SIDE])
    text = scores.text(sizes, len(positions), context.seed)
    found: dict[str, float | None] = {}
    for step, by in enumerate(SHIFTS, 1):
        if by + len(positions) > len(everywhere):
            break
        found[f"moved_{by}"] = moved = scores.moved(text, encoding, positions, by)
        context.record(step, shift=float(by), moved=moved)
    short = scores.text(sizes, scores.TOKENS, context.seed)
    for name, causal in (("twins", False), ("twins_causal", True)):
        found[name] = scores.twins(short, encoding, positions[: scores.TOKENS], causal)
    if encoding.rotation is not None:
        found["stretch"] = float((encoding.rotation(positions).abs().double() - 1).abs().max())
    return found


def _of_a_text(
    encoding: Encoding, params: Params, everywhere: Tensor, context: Context
) -> dict[str, float | None]:
    """How far apart positions are, how far pairs turn, and how scores fall with distance."""
    from . import geometry

    first, found = everywhere[:FAR], dict[str, float | None](size=0.0)
    if encoding.added is not None and (added := geometry.vectors(encoding, first)) is not None:
        found["size"] = float(added.square().mean().sqrt())
    at = _spread(len(everywhere) - 1)
    if (apart := geometry.apart(encoding, everywhere[at])) is not None:
        for step, position in enumerate(at, 1):
            context.record(step, position=float(position), apart=float(apart[step - 1]))
        found["nearest"] = geometry.nearest(encoding, everywhere[1:])
        found["same"] = geometry.first_same(encoding, first)
        if (wave := round(2 * math.pi * params.theta)) < len(everywhere) and float(apart[0]):
            longest = geometry.apart(encoding, everywhere[wave : wave + 1])
            found["wrap"] = None if longest is None else float(longest[0] / apart[0])
    if (share := geometry.idle(encoding, everywhere[: 2**16], params.little)) is not None:
        found["idle"] = float(share[min(params.short, len(share)) - 1])
        for step in range(1, len(share).bit_length()):
            context.record(step, length=float(2**step), idle=float(share[2**step - 1]))
    curves = {}
    if (score := geometry.by_distance(encoding, first)) is not None:
        found["rises"], curves["score"] = geometry.rises(score), score
    if encoding.rotation is not None:
        curves["bound"] = geometry.bound(encoding.rotation, first)
        found["bound"] = float(curves["bound"][FIGURE])
        found["peak"] = geometry.peak(encoding.rotation, everywhere[: 2 * WANTED], WANTED)
    for step, distance in enumerate(_spread(FAR - 1) if curves else [], 1):
        values = {name: float(curve[distance]) for name, curve in curves.items()}
        context.record(step, distance=float(distance), **values)
    return found


def _spread(largest: int) -> list[int]:
    """Whole numbers from 1 to the largest, about evenly spread over logarithms."""
    return sorted({round(largest ** (i / POINTS)) for i in range(POINTS + 1)})
