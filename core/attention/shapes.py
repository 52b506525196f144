"""Small cases that catch the usual mistakes of an attention; among them are shapes of FlashAttention's own tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .arguments import Options


@dataclass(frozen=True)
class Shape:
    """One small case, in the words of `str(shape)`, which are enough to build it again.

    Attributes:
        mask: "" for none, "boolean" (three in four may attend), "additive" (normal, and −∞ where boolean is False), or
            "rows masked" (boolean, and every third query may attend to nothing).
        layout: "" for contiguous, "strided" for (batch, length, heads, head_dim) seen as the contract's layout.
        nan: "" for none, "q" for a NaN in one query, "k" for a NaN in the last key.
    """

    queries: int
    keys: int
    causal: bool = False
    d: int = 64
    heads: int = 2
    kv_heads: int = 2
    mask: str = ""
    layout: str = ""
    nan: str = ""

    def __str__(self) -> str:
        words = [f"Nq={self.queries} Nk={self.keys}", "causal" if self.causal else "dense", f"d={self.d}"]
        if self.heads != self.kv_heads:
            words.append(f"{self.heads} heads on {self.kv_heads}")
        words += [f"{self.mask} mask"] if self.mask in ("boolean", "additive") else [self.mask]
        words += [self.layout, f"NaN in {self.nan}" if self.nan else ""]
        return " ".join(word for word in words if word)


SHAPES = (
    Shape(1, 1, causal=True),
    Shape(3, 3),
    Shape(64, 32),
    Shape(64, 1),
    Shape(1, 239, causal=True),  # one query beside a cache of keys
    Shape(113, 203),
    Shape(113, 203, causal=True),
    Shape(203, 113, causal=True),  # the first 90 queries see nothing
    Shape(255, 256, causal=True, d=32),
    Shape(256, 256, causal=True, d=128),
    Shape(127, 513, causal=True, d=40),
    Shape(300, 300, causal=True, heads=6, kv_heads=2),
    Shape(113, 211, heads=6, kv_heads=1, d=59),
    Shape(64, 128, heads=6, kv_heads=6),
    Shape(129, 130, mask="boolean"),
    Shape(129, 130, mask="additive"),
    Shape(70, 90, causal=True, mask="rows masked"),
    Shape(70, 90, causal=True, mask="boolean", heads=6, kv_heads=2),
    Shape(108, 256, causal=True, layout="strided"),
    Shape(40, 2300, causal=True),  # more keys than a tile has
    Shape(33, 65, nan="q"),
    Shape(65, 65, causal=True, nan="k"),
    Shape(0, 5),
    Shape(5, 0),
)


@dataclass(frozen=True)
class Inputs:
    """What attention is called with."""

    q: Tensor
    k: Tensor
    v: Tensor
    options: Options


def inputs(shape: Shape, dtype: torch.dtype, device: torch.device | str = "cpu") -> Inputs:
    """The input of a small case, made from the same seed every time; the batch is 2, or 1 where that would be slow."""
    generator = torch.Generator().manual_seed(0)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator).to(device, dtype)

    batch = 2 if shape.queries * shape.keys < 10_000 else 1

    def tensor(heads: int, length: int) -> Tensor:
        if shape.layout == "strided":
            return normal(batch, length, heads, shape.d).transpose(1, 2)
        return normal(batch, heads, length, shape.d)

    q, k, v = (
        tensor(heads, length)
        for heads, length in (
            (shape.heads, shape.queries),
            (shape.kv_heads, shape.keys),
            (shape.kv_heads, shape.keys),
        )
    )
    if shape.nan == "q":
        q[0, 0, shape.queries // 2, 0] = math.nan
    if shape.nan == "k":
        k[0, 0, -1, 0] = math.nan
    mask = None
    if shape.mask:
        mask = torch.rand(shape.queries, shape.keys, generator=generator).to(device) < 0.75
        mask[:, 0] = True
        if shape.mask == "rows masked":
            mask[::3] = False
        if shape.mask == "additive":
            mask = normal(shape.queries, shape.keys).masked_fill(~mask, -math.inf)
    return Inputs(q, k, v, Options(shape.causal, 1 / math.sqrt(shape.d), mask, return_lse=True))
