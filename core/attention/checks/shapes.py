"""Small cases that catch the usual mistakes of an attention; some shapes are those of FlashAttention's own tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..alibi import alibi_slopes
from ..arguments import Options


@dataclass(frozen=True)
class Shape:
    """One small case, in the words of `str(shape)`, which are enough to build it again.

    Attributes:
        mask: "" for none, "boolean" (three in four may attend), "additive" (normal, and −∞ where boolean is False), or
            "rows masked" (boolean, and every third query may attend to nothing).
        layout: "" for contiguous; "strided", (batch, length, heads, head_dim) seen as the contract's layout;
            "transposed", the last dimension not the densest; "padded", rows with something behind them that begin at
            no round address; "expanded", one head of keys and values seen as several (a stride of 0).
        nan: "" for none, "q" for a NaN in one query, "k" for a NaN in the last key.
        window: (left, right) as in `attention`.
        softcap: 0 for none.
        features: which of "sink", "alibi", "top-left" there are, "alibi of each" for slopes that each element of the batch
            has of its own; "large": queries five and keys three times as large;
            "low": each score less by 100, at which e^s is nothing in single precision.
        d_v: of v, where it is not `d`.
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
    window: tuple[int, int] | None = None
    softcap: float = 0.0
    features: tuple[str, ...] = ()
    d_v: int | None = None

    def __str__(self) -> str:
        words = [f"Nq={self.queries} Nk={self.keys}", "causal" if self.causal else "dense", f"d={self.d}"]
        if self.heads != self.kv_heads:
            words.append(f"{self.heads} heads on {self.kv_heads}")
        words += [f"{self.mask} mask"] if self.mask in ("boolean", "additive") else [self.mask]
        words += [f"window={self.window}"] if self.window else []
        words += [f"softcap={self.softcap:g}"] if self.softcap else []
        words += [f"d_v={self.d_v}"] if self.d_v else []
        words += [*self.features, self.layout, f"NaN in {self.nan}" if self.nan else ""]
        return " ".join(word for word in words if word)


SHAPES = (
    Shape(1, 1, causal=True),
    Shape(3, 3),
    Shape(64, 32),
    Shape(64, 1),
    Shape(1, 239, causal=True),  # one query beside a cache of keys
    Shape(113, 203),
    Shape(113, 203, causal=True),
    Shape(203, 113, causal=True),  # the first 90 queries may attend to nothing
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
    Shape(17, 17, features=("large",)),
    Shape(128, 128, causal=True, features=("large",)),
    Shape(64, 192, causal=True, features=("large",)),
    Shape(64, 192, features=("low",)),
    Shape(70, 90, layout="transposed"),
    Shape(90, 70, layout="padded", causal=True),
    Shape(65, 65, layout="expanded", heads=4, kv_heads=4),
    # Options that not every backend has, alone and together.
    Shape(113, 128, window=(16, 0)),
    Shape(128, 217, causal=True, window=(7, 7), d=32),
    Shape(239, 1, window=(3, 3)),
    Shape(113, 211, softcap=15.0, heads=6, kv_heads=2),
    Shape(64, 128, causal=True, softcap=50.0, features=("large",)),
    Shape(96, 128, causal=True, softcap=5.0),  # a score capped after it was masked is finite
    Shape(127, 129, causal=True, features=("sink",)),
    Shape(64, 32, causal=True, features=("sink",), heads=6, kv_heads=2),
    Shape(96, 113, features=("alibi",), heads=4, kv_heads=4),
    Shape(113, 96, causal=True, features=("alibi",), heads=6, kv_heads=1, d=80),
    Shape(108, 256, causal=True, features=("top-left",)),
    Shape(203, 113, causal=True, features=("top-left",)),
    Shape(
        150, 140, causal=True, window=(20, 0), softcap=15.0, features=("sink", "alibi"), heads=6, kv_heads=2
    ),
    Shape(70, 90, causal=True, window=(30, 0), mask="rows masked", features=("sink", "top-left")),
    Shape(40, 2300, window=(1200, 900), mask="additive", softcap=15.0, features=("alibi",)),
)
"""For every attention; a function refuses what it does not take."""

FURTHER = (
    Shape(108, 130, d=64, d_v=32),
    Shape(70, 65, causal=True, d=40, d_v=96, heads=6, kv_heads=2, features=("sink",), window=(20, 0)),
    Shape(50, 60, d=16, heads=4, kv_heads=2, features=("alibi of each",)),
    Shape(3, 600, d=16, features=("alibi of each",)),
)
"""For our backends alone: the signature of a user's function has no room for these."""

LONG = (
    Shape(799, 3),
    Shape(3, 799, causal=True),
    Shape(256, 512, causal=True, d=96, window=(100, 0)),
    Shape(384, 256, causal=True, d=111, features=("sink",)),
    Shape(640, 128, d=160, softcap=15.0),
    Shape(512, 256, causal=True, d=192, features=("top-left",)),
    Shape(127, 512, d=224, heads=6, kv_heads=1, features=("alibi",)),
    Shape(127, 513, causal=True, d=256, window=(64, 64)),
    Shape(1024, 1024, causal=True, heads=6, kv_heads=2, softcap=50.0),
    Shape(1023, 1024, causal=True, features=("sink", "alibi")),
    Shape(1024, 1023, causal=True, window=(200, 0)),
    Shape(2048, 2048, causal=True, heads=1, kv_heads=1),
    Shape(2048, 2048, heads=1, kv_heads=1, window=(100, 50), features=("sink",)),
    Shape(4224, 4224, causal=True, heads=1, kv_heads=1, d=32, window=(511, 0)),
)
"""The rest of FlashAttention's lists, which takes minutes in float64."""


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
        return torch.randn(*sizes, generator=generator, dtype=torch.float32, device="cpu").to(device, dtype)

    batch = 2 if shape.queries * shape.keys < 10_000 else 1

    def tensor(heads: int, length: int, d: int) -> Tensor:
        if shape.layout == "strided":
            return normal(batch, length, heads, d).transpose(1, 2)
        if shape.layout == "transposed":
            return normal(batch, heads, d, length).transpose(2, 3)
        if shape.layout == "padded":
            return normal(batch, heads, length, d + 3)[..., 1 : d + 1]
        return normal(batch, heads, length, d)

    kv_heads, d_v = shape.kv_heads, shape.d_v or shape.d
    q, k, v = (
        tensor(heads, length, d)
        for heads, length, d in (
            (shape.heads, shape.queries, shape.d),
            (kv_heads, shape.keys, shape.d),
            (kv_heads, shape.keys, d_v),
        )
    )
    if shape.layout == "expanded":
        k, v = (x[:, :1].expand(-1, kv_heads, -1, -1) for x in (k, v))
    if "large" in shape.features:
        q, k = q * 5, k * 3
    if "low" in shape.features:
        q[..., 0], k[..., 0] = -100.0, math.sqrt(shape.d)
    if shape.nan == "q":
        q[0, 0, shape.queries // 2, 0] = math.nan
    if shape.nan == "k":
        k[0, 0, -1, 0] = math.nan
    mask = None
    if shape.mask:
        mask = (
            torch.rand(shape.queries, shape.keys, generator=generator, dtype=torch.float32, device="cpu").to(
                device
            )
            < 0.75
        )
        mask[:, 0] = True
        if shape.mask == "rows masked":
            mask[::3] = False
        if shape.mask == "additive":
            mask = normal(shape.queries, shape.keys).masked_fill(~mask, -math.inf)
        mask = mask[None, None]
    sink = normal(shape.heads) if "sink" in shape.features else None
    slopes = None
    if {"alibi", "alibi of each"} & {*shape.features}:
        slopes = alibi_slopes(shape.heads).to(device, torch.promote_types(dtype, torch.float32))[None]
    if slopes is not None and "alibi of each" in shape.features:
        slopes = torch.cat([slopes / (b + 1) for b in range(batch)])
    options = Options(
        causal=shape.causal,
        scale=1 / math.sqrt(shape.d),
        attn_mask=mask,
        window_size=shape.window,
        softcap=shape.softcap or None,
        sink=sink,
        return_lse=True,
        alibi_slopes=slopes,
        shift=0 if "top-left" in shape.features else None,
    )
    return Inputs(q, k, v, options)
