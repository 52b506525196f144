"""What every backend may rely on: arguments that fit together, or an error that names both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Window = tuple[int, int]
MASK_GRADIENT = "gradient of attn_mask"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Options:
    """How attention is to be computed; each field means what it means in `attention`, with defaults filled in."""

    causal: bool
    scale: float
    attn_mask: Tensor | None = None
    window_size: Window | None = None
    softcap: float | None = None
    sink: Tensor | None = None
    dropout_p: float = 0.0
    return_lse: bool = False

    @property
    def unusual(self) -> list[str]:
        """Which of the options that not every backend has are asked for."""
        asked = {
            "window_size": self.window_size is not None,
            "softcap": self.softcap is not None,
            "sink": self.sink is not None,
            "dropout_p": self.dropout_p > 0,
            "return_lse": self.return_lse,
            MASK_GRADIENT: self.attn_mask is not None
            and self.attn_mask.requires_grad
            and torch.is_grad_enabled(),
        }
        return [name for name, is_asked in asked.items() if is_asked]


def check_inputs(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Raise ValueError unless q (B, H, Nq, d), k (B, H_kv, Nk, d) and v (B, H_kv, Nk, d_v) fit together."""
    named = {"q": q, "k": k, "v": v}
    for name, x in named.items():
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name} is {type(x).__name__}; it must be a tensor (batch, heads, length, head_dim)"
            )
        if x.dim() != 4:
            raise ValueError(f"{name} has shape {_shape(x)}; it must be (batch, heads, length, head_dim)")
        if x.dtype not in DTYPES:
            raise ValueError(f"{name} holds {_short(x.dtype)}; it must be {', '.join(map(_short, DTYPES))}")
    for name, x in (("k", k), ("v", v)):
        for what, theirs, ours in (
            ("dtype", _short(x.dtype), _short(q.dtype)),
            ("device", x.device, q.device),
        ):
            if theirs != ours:
                raise ValueError(f"{name} has {what} {theirs}, but q has {what} {ours}")
        if x.shape[0] != q.shape[0]:
            raise ValueError(f"{name} has a batch of {x.shape[0]}, but q one of {q.shape[0]}")
    if k.shape[3] != q.shape[3]:
        raise ValueError(f"k has head_dim {k.shape[3]}, but q has head_dim {q.shape[3]}")
    if v.shape[1:3] != k.shape[1:3]:
        raise ValueError(f"v has {_heads_and_keys(v)}, but k has {_heads_and_keys(k)}")
    heads, kv_heads = q.shape[1], k.shape[1]
    if kv_heads == 0 or heads % kv_heads:
        raise ValueError(f"q has {heads} heads, which is no multiple of the {kv_heads} heads of k and v")
    if q.shape[3] == 0:
        raise ValueError("q has head_dim 0")


def check_options(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool,
    scale: float | None,
    attn_mask: Tensor | None,
    window_size: int | Sequence[int] | None,
    softcap: float | None,
    sink: Tensor | None,
    dropout_p: float,
    return_lse: bool,
) -> Options:
    """The options with their defaults filled in, for inputs that have passed `check_inputs`.

    Raises:
        ValueError: one does not fit the inputs; the message names both sides.
    """
    if attn_mask is not None:
        _check_mask(attn_mask, q, k)
        attn_mask = attn_mask.view((1,) * (4 - attn_mask.dim()) + attn_mask.shape)
    if not isinstance(causal, bool):
        raise ValueError(f"causal is {causal!r}; it must be True or False")
    if scale is not None and not (isinstance(scale, int | float) and math.isfinite(scale)):
        raise ValueError(f"scale is {scale!r}; it must be a finite number")
    if softcap is not None and not softcap > 0:
        raise ValueError(f"softcap is {softcap:g}; it must be above 0")
    if sink is not None and sink.shape != (q.shape[1],):
        raise ValueError(f"sink has shape {_shape(sink)}, but q has {q.shape[1]} heads: one number for each")
    if not 0 <= dropout_p < 1:
        raise ValueError(f"dropout_p is {dropout_p:g}; it must be at least 0 and below 1")
    return Options(
        causal=causal,
        scale=1 / math.sqrt(q.shape[3]) if scale is None else scale,
        attn_mask=attn_mask,
        window_size=_window(window_size),
        softcap=softcap,
        sink=sink,
        dropout_p=dropout_p,
        return_lse=return_lse,
    )


def _check_mask(attn_mask: Tensor, q: Tensor, k: Tensor) -> None:
    scores = (*q.shape[:3], k.shape[2])
    if attn_mask.device != q.device:
        raise ValueError(f"attn_mask is on device {attn_mask.device}, but q on device {q.device}")
    if attn_mask.dtype not in (torch.bool, q.dtype):
        raise ValueError(
            f"attn_mask holds {_short(attn_mask.dtype)}; it must be bool (True: may attend) or {_short(q.dtype)}, as q"
        )
    # Sizes are compared from the last dimension backwards, as broadcasting does.
    pairs = zip(reversed(attn_mask.shape), reversed(scores), strict=False)
    if attn_mask.dim() > 4 or any(size not in (1, wanted) for size, wanted in pairs):
        raise ValueError(f"attn_mask has shape {_shape(attn_mask)}, but the scores have shape {scores}")


def _window(window_size: int | Sequence[int] | None) -> Window | None:
    if window_size is None:
        return None
    sides = [window_size, window_size] if isinstance(window_size, int) else list(window_size)
    if len(sides) != 2 or any(not isinstance(side, int) or side < -1 for side in sides):
        raise ValueError(f"window_size is {window_size}; it is (left, right) in keys, -1 for no bound")
    return sides[0], sides[1]


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _heads_and_keys(x: Tensor) -> str:
    return f"{x.shape[1]} heads and {x.shape[2]} keys"
