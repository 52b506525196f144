"""What is wrong with a user's encoding is said in one line."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lab.core.position import ENCODINGS, Encoding, Sizes, encoding
from lab.core.position.user_encoding import EncodingError, user_encoding

SIZES = Sizes(d_model=16, heads=2, context=40, trained=10)


def turning(positions: Tensor) -> Tensor:
    angle = positions[..., None] * torch.tensor([1.0, 0.5, 0.1, 0.01])
    return torch.polar(torch.ones_like(angle), angle)


def nan_at(position: int) -> Any:
    def added(positions: Tensor) -> Tensor:
        found = torch.ones(*positions.shape, 16)
        found[positions == position] = torch.nan
        return found

    return added


def infinite_at(distance: int) -> Any:
    def bias(distances: Tensor) -> Tensor:
        return torch.where(distances == distance, torch.inf, 0.0).expand(2, -1)

    return bias


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "coupled"])
def test_ours_pass(name: str) -> None:
    assert user_encoding(ENCODINGS[name], name, SIZES).axes == encoding(name, SIZES).axes


def test_one_that_is_right_comes_back_as_it_is() -> None:
    mine = Encoding(rotation=turning)
    assert user_encoding(lambda sizes: mine, "mine", SIZES) is mine


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "mine returned None, no lab.core.position.Encoding"),
        ({"added": 1}, "mine returned a dict, no "),
        (Encoding(axes=3), "mine: axes is 3; a text has 1, a grid 2"),
        (Encoding(added=torch.zeros(40, 16)), "mine.added is a tensor of torch.float32; it must be a function"),  # type: ignore[arg-type]
        (Encoding(added=lambda p: torch.zeros(len(p), 8)), "mine.added gave the shape 10×8, not 10×16"),
        (Encoding(added=lambda p: torch.zeros(p.numel(), 16)), "mine.added gave the shape 6×16, not 2×3×16"),
        (Encoding(added=lambda p: p[..., None].expand(*p.shape, 16)), "mine.added gave torch.int64; it must give floating-point"),
        (Encoding(added=nan_at(7)), "mine.added gave nan at position 7"),
        (Encoding(added=lambda p: p @ torch.ones(3)), "mine.added fails at positions of the shape 10 and torch.int64: RuntimeError: "),
        (Encoding(added=lambda p: None), "mine.added gave None; it must give a tensor"),  # type: ignore[arg-type,return-value]
        (Encoding(rotation=lambda p: torch.ones(*p.shape, 4)), "mine.rotation gave torch.float32; it must give complex numbers"),
        (Encoding(rotation=lambda p: turning(p)[..., :2]), "mine.rotation gave the shape 10×2, not 10×4"),
        (Encoding(slopes=torch.ones(3)), "mine.slopes gave the shape 3, not 2"),
        (Encoding(slopes=torch.tensor([1.0, torch.nan])), "mine.slopes gave nan"),
        (Encoding(bias=lambda d: -d.float()), "mine.bias gave the shape 10, not 2×10"),
        (Encoding(bias=infinite_at(3)), "mine.bias gave inf at distance 3"),
        (Encoding(rotation=turning, places=lambda ids, training: ids.float()), "mine.places, training=True, gave a tensor of torch.float32"),
        (Encoding(rotation=turning, places=lambda ids, training: ids[0]), "gave the shape 4 for ids of 2×4"),
        (Encoding(rotation=turning, places=lambda ids, training: ids + (0 if training else 35)), "mine.places, training=False, gave positions 35 to 42; the context is 0 to 39"),
    ],
    ids=range(19),
)  # fmt: skip
def test_what_is_wrong_is_named(returned: Any, message: str) -> None:
    with pytest.raises(EncodingError, match=re.escape(message)) as raised:
        user_encoding(lambda sizes: returned, "mine", SIZES)
    assert "\n" not in str(raised.value)


def test_pairs_need_an_even_head_dim() -> None:
    with pytest.raises(EncodingError, match="head_dim is 3: it must be even"):
        user_encoding(lambda sizes: Encoding(rotation=turning), "mine", replace(SIZES, d_model=6))
