"""Attention of other packages, judged and timed beside ours on a GPU where they are installed.

They take (batch, length, heads, head_dim), half precision and CUDA, and raise `Refused` for anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ..trial import Refused
from .user_function import Adapted, adapted

LARGEST_HEAD = 256


def flash_attn(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool,
    scale: float,
    window_size: tuple[int, int] | None = None,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
) -> Tensor:
    """FlashAttention-2 of the package flash-attn, whose causal order is aligned bottom-right.

    Raises Refused: where it is not installed, on a CPU, in single precision, for other head sizes.
    """
    _refuse("flash_attn", q, v)
    from flash_attn import flash_attn_func

    output: Tensor = flash_attn_func(
        q,
        k,
        v,
        softmax_scale=scale,
        causal=causal,
        window_size=window_size or (-1, -1),
        softcap=softcap or 0.0,
        alibi_slopes=alibi_slopes,
    )
    return output


def xformers(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> Tensor:
    """The memory-efficient attention of xFormers.

    Raises Refused: where it is not installed, on a CPU, in single precision, for other head sizes, with fewer heads of
    k than of q.
    """
    _refuse("xformers", q, v)
    if k.shape[2] != q.shape[2]:
        raise Refused("as many heads of k as of q")
    from xformers.ops import memory_efficient_attention
    from xformers.ops.fmha.attn_bias import LowerTriangularFromBottomRightMask

    bias = LowerTriangularFromBottomRightMask() if causal else None
    output: Tensor = memory_efficient_attention(q, k, v, attn_bias=bias, scale=scale)
    return output


RIVALS: dict[str, Callable[..., Any]] = {"flash_attn": flash_attn, "xformers": xformers}
"""By the name of the package."""


def rival(name: str) -> Adapted:
    """One of `RIVALS`, called like a backend."""
    return adapted(RIVALS[name], layout="bshd")


def _refuse(package: str, q: Tensor, v: Tensor) -> None:
    if find_spec(package) is None:
        raise Refused(f"{package} is not installed")
    if not q.is_cuda:
        raise Refused("runs on CUDA only")
    if q.dtype not in (torch.float16, torch.bfloat16):
        raise Refused("takes float16 and bfloat16")
    if q.shape[3] != v.shape[3] or q.shape[3] > LARGEST_HEAD or q.shape[3] % 8:
        raise Refused(f"head_dim must be a multiple of 8 up to {LARGEST_HEAD}, the same in q and v")
