"""Where positions stand: their distances, how far pairs turn, how a score falls with distance, and diagonals; in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..interface import EMBEDDING_SCALE, Encoding

PART = 20_000
"""Positions at once."""


def vectors(encoding: Encoding, positions: Tensor) -> Tensor | None:
    """What is added at these positions, in units of an embedding's component, or else the cosines and sines that queries and
    keys are turned by, (…, components); None where there is neither."""
    if encoding.added is not None:
        return encoding.added(positions).double() / EMBEDDING_SCALE
    if encoding.rotation is not None:
        return torch.view_as_real(encoding.rotation(positions).to(torch.complex128)).flatten(-2)
    return None


def picture(encoding: Encoding, positions: Tensor) -> tuple[str, Tensor] | None:
    """What there is one of in each column, and its numbers (positions, columns): what is added to an embedding, in units of it;
    the cosines and sines of turning; what is added to a score, by head, where the positions are distances. None: nothing."""
    if (found := vectors(encoding, positions)) is not None:
        return "component", found
    by_distance = encoding.scores_by_distance(positions.long())
    return None if by_distance is None else ("head", by_distance.T.double())


def apart(encoding: Encoding, positions: Tensor) -> Tensor | None:
    """How far the vectors of positions (n,) are from that of position 0, root mean square of a component, (n,). Two that have
    nothing to do with each other are 1 apart."""
    found = vectors(encoding, positions)
    origin = vectors(encoding, torch.zeros_like(positions[:1]))
    return None if found is None or origin is None else (found - origin).square().mean(-1).sqrt()


def nearest(encoding: Encoding, positions: Tensor) -> float | None:
    """Which of the positions is nearest to position 0; the first, where several are."""
    least, at = torch.inf, None
    for begin in range(0, len(positions), PART):
        some = positions[begin : begin + PART]
        if (distances := apart(encoding, some)) is None:
            return None
        i = int(distances.argmin())
        if float(distances[i]) < least:
            least, at = float(distances[i]), float(some[i])
    return at


def first_same(encoding: Encoding, positions: Tensor) -> float | None:
    """The first of consecutive positions whose vector is exactly that of the next; None where there is none."""
    found = vectors(encoding, positions)
    if found is None:
        return None
    same = (found[1:] == found[:-1]).all(-1).nonzero()
    return float(positions[same[0]]) if len(same) else None


def idle(encoding: Encoding, positions: Tensor, little: float) -> Tensor | None:
    """The share of pairs of components that have stayed as near as `little` to where they are at the first position, up to each
    of the positions, (n,)."""
    found = vectors(encoding, positions)
    if found is None or found.shape[-1] % 2:
        return None
    pairs = found.reshape(len(found), -1, 2)
    farthest: Tensor = (pairs - pairs[:1]).norm(dim=-1).cummax(0).values
    return (farthest < little).double().mean(-1)


def by_distance(encoding: Encoding, distances: Tensor) -> Tensor | None:
    """A score by distance where query and key are equal, (n,): of the vectors of two positions, over that at distance 0, or what
    ALiBi adds in its first head. None where it is learned, or position 0 has no vector."""
    if encoding.slopes is not None:
        return -encoding.slopes[0].double() * distances
    if isinstance(encoding.added, nn.Module) or isinstance(encoding.rotation, nn.Module):
        return None
    found = vectors(encoding, distances)
    if found is None:
        return None
    products = found @ found[0]
    return products / products[0] if float(products[0]) else None


def bound(rotation: Callable[[Tensor], Tensor], distances: Tensor) -> Tensor:
    """The bound of RoFormer, §3.4.3, over that at distance 0, (n,): the mean of |S_1| … |S_pairs|, where S_j is the sum of the
    first j pairs' e^(i·distance·θ)."""
    found = rotation(distances).to(torch.complex128).cumsum(-1).abs().mean(-1)
    return found / found[0]


def rises(values: Tensor) -> float:
    """The share of steps at which values (n,) rise."""
    return float((values.diff() > 0).double().mean())


def peak(rotation: Callable[[Tensor], Tensor], distances: Tensor, wanted: int) -> float:
    """The distance at which a score is highest, of the query that is equal to the key turned by the wanted distance."""
    turn = rotation(distances).to(torch.complex128)
    return float(distances[int((turn * turn[wanted].conj()).real.sum(-1).argmax())])


def diagonals(rotation: Callable[[Tensor], Tensor], like: Tensor, farthest: int = 8) -> tuple[float, float]:
    """What a score can tell of diagonal offsets (d, d), (−d, −d) and (d, −d), (−d, d) on a grid, at the best d up to
    `farthest`: how much higher it can be

    * at one offset (d, d) than at (d, −d), at most 2
    * at both offsets of one diagonal than at both of the other, in sum, at most 4

    for the best query and key of length 1: a score is Re Σ a_j·r_j(offset) with Σ |a_j| ≤ 1.

    Args:
        like: a tensor of the dtype in which the encoding gets positions.
    """
    middle = torch.full((2,), farthest, dtype=like.dtype, device="cpu")
    origin = rotation(middle).to(torch.complex128)
    single, both = 0.0, 0.0
    for d in range(1, farthest + 1):
        signs = torch.tensor([[1, 1], [-1, -1], [1, -1], [-1, 1]], dtype=like.dtype, device="cpu")
        r = rotation(middle + d * signs).to(torch.complex128) * origin.conj() / origin.abs().square()
        single = max(single, float((r[0] - r[2]).abs().max()))
        both = max(both, float((r[0] + r[1] - r[2] - r[3]).abs().max()))
    return single, both
