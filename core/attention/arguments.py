"""The options of attention, each declared here, and the checks that every backend may rely on.

A new option is a line of `Arguments` or of a class beside it (as callers give it), a field of `Options` (as backends get
it), a line of `IN_USE` if a backend may lack it, and its check in `check_options`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, TypedDict, get_args

import torch
from torch import Tensor

Window = tuple[int, int]
Alignment = Literal["bottom-right", "top-left"]
MASK_GRADIENT = "gradient of attn_mask"
TOP_LEFT = "top-left alignment"
FORWARD_MODE = "forward-mode derivative"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class ScoreArguments(TypedDict, total=False):
    """The options that change each score by itself, so that attention to some of the keys takes them unchanged."""

    softcap: float | None
    scale: float | None


class Arguments(ScoreArguments, total=False):
    """The options that `attention` and `attention_varlen` take; see `attention`."""

    causal: bool
    align: Alignment
    window_size: int | Sequence[int] | None
    alibi_slopes: Tensor | None
    sink: Tensor | None
    dropout_p: float
    dropout_seed: int | None
    backend: str


class MaskedArguments(Arguments, total=False):
    """Those that `attention` alone takes."""

    attn_mask: Tensor | None


@dataclass(frozen=True)
class Options:
    """How attention is to be computed; each field means what it means in `attention`, with defaults filled in.

    Attributes:
        attn_mask: of four dimensions, each of the scores' size or 1.
        alibi_slopes: (batch or 1, heads), float32 or, for a float64 q, float64.
        shift: query i stands beside the key i + shift; None: the last beside the last.
        dropout_seed: None: drawn by whoever needs it.
    """

    causal: bool
    scale: float
    attn_mask: Tensor | None = None
    window_size: Window | None = None
    softcap: float | None = None
    sink: Tensor | None = None
    alibi_slopes: Tensor | None = None
    shift: int | None = None
    dropout_p: float = 0.0
    dropout_seed: int | None = None
    return_lse: bool = False

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that are given, by name."""
        return {name: getattr(self, name) for name in TENSORS if getattr(self, name) is not None}

    @property
    def unusual(self) -> list[str]:
        """The options in use that not every backend has."""
        return [name for name, in_use in IN_USE.items() if in_use(self)]

    @property
    def by_name(self) -> Mapping[str, Any]:
        """The options by their names in `attention`, for a function that is not one of ours; None where not in use.

        Without `scale`, and without `return_lse` and `dropout_seed`, which no such function is given.
        """
        named = {
            "align" if field.name == "shift" else field.name: getattr(self, field.name)
            for field in fields(self)
        }
        slopes = self.alibi_slopes
        named["alibi_slopes"] = slopes if slopes is None or len(slopes) > 1 else slopes[0]
        named["align"] = None if self.shift is None else "top-left"
        named["dropout_p"] = self.dropout_p or None
        return {name: x for name, x in named.items() if name not in ("scale", "return_lse", "dropout_seed")}


TENSORS = tuple(field.name for field in fields(Options) if "Tensor" in str(field.type))
"""The fields of `Options` that may hold a tensor."""

IN_USE: Mapping[str, Callable[[Options], bool]] = {
    "window_size": lambda options: options.window_size is not None,
    "softcap": lambda options: options.softcap is not None,
    "sink": lambda options: options.sink is not None,
    "dropout_p": lambda options: options.dropout_p > 0,
    "return_lse": lambda options: options.return_lse,
    "alibi_slopes": lambda options: options.alibi_slopes is not None,
    "dropout_seed": lambda options: options.dropout_p > 0 and options.dropout_seed is not None,
    TOP_LEFT: lambda options: options.shift is not None,
    MASK_GRADIENT: lambda options: (
        options.attn_mask is not None and options.attn_mask.requires_grad and torch.is_grad_enabled()
    ),
}
"""The options that a backend may lack, and whether a call uses them. `attention` refuses them in this order."""

EVERYTHING = frozenset({*IN_USE, FORWARD_MODE})
"""All that a backend may lack."""


def check_inputs(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Raise ValueError unless q (B, H, Nq, d), k (B, H_kv, Nk, d) and v (B, H_kv, Nk, d_v) fit together."""
    if _fit(q, k, v):
        return
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


def _fit(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether `check_inputs` has nothing to say: what it would look at, without words, in a third of the time."""
    try:
        (B, H, _, d), (B_k, H_k, N_k, d_k), (B_v, H_v, N_v, _) = q.shape, k.shape, v.shape
        return (
            q.dtype == k.dtype == v.dtype
            and q.dtype in DTYPES
            and q.device == k.device == v.device
            and B == B_k == B_v
            and d == d_k
            and (H_k, N_k) == (H_v, N_v)
            and H_k > 0
            and H % H_k == 0
            and d > 0
            and isinstance(q, Tensor)
            and isinstance(k, Tensor)
            and isinstance(v, Tensor)
        )
    except (AttributeError, TypeError, ValueError):
        return False


@cache
def _plain(causal: bool, scale: float, return_lse: bool) -> Options:
    return Options(causal, scale, return_lse=return_lse)


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
    alibi_slopes: Tensor | None,
    align: str,
    dropout_seed: int | None,
) -> Options:
    """The options with their defaults filled in, for inputs that have passed `check_inputs`.

    Raises ValueError: one does not fit the inputs; the message names both sides.
    """
    if (
        attn_mask is None
        and window_size is None
        and softcap is None
        and sink is None
        and alibi_slopes is None
        and dropout_seed is None
        and scale is None
        and align == "bottom-right"
        and type(causal) is type(return_lse) is bool
        and type(dropout_p) is float
        and not dropout_p
        and not torch.compiler.is_compiling()  # it warns of a cache
    ):
        return _plain(causal, 1 / math.sqrt(q.shape[3]), return_lse)
    if attn_mask is not None:
        _check_mask(attn_mask, q, k)
        attn_mask = attn_mask.view((1,) * (4 - attn_mask.dim()) + attn_mask.shape)
    if not isinstance(causal, bool):
        raise ValueError(f"causal is {causal!r}; it must be True or False")
    if scale is not None:
        scale = _number("scale", scale, "a finite number")
    if softcap is not None:
        softcap = _number("softcap", softcap, "a finite number above 0, or None for no cap", above=0)
    if sink is not None:
        _check_per_head("sink", sink, q)
        if sink.shape != (q.shape[1],):
            raise ValueError(
                f"sink has shape {_shape(sink)}, but q has {q.shape[1]} heads: one number for each"
            )
    if alibi_slopes is not None:
        alibi_slopes = checked_slopes(alibi_slopes, q)
    if align not in get_args(Alignment):
        raise ValueError(f"align is {align!r}; it must be {' or '.join(map(repr, get_args(Alignment)))}")
    dropout_p = _number("dropout_p", dropout_p, "at least 0 and below 1")
    if not 0 <= dropout_p < 1:
        raise ValueError(f"dropout_p is {dropout_p:g}; it must be at least 0 and below 1")
    if dropout_seed is not None:
        dropout_seed = whole_number("dropout_seed", dropout_seed, ", or None to draw one")
    by_place = causal or window_size is not None or alibi_slopes is not None
    return Options(
        causal=causal,
        scale=1 / math.sqrt(q.shape[3]) if scale is None else scale,
        attn_mask=attn_mask,
        window_size=_window(window_size),
        softcap=softcap,
        sink=sink,
        dropout_p=dropout_p,
        return_lse=return_lse,
        alibi_slopes=alibi_slopes,
        # Where both alignments are the same, a backend need not have this one.
        shift=0 if align == "top-left" and by_place and q.shape[2] != k.shape[2] else None,
        dropout_seed=dropout_seed,
    )


def _check_per_head(name: str, x: Tensor, q: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = _short(x.dtype) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} is {what}; it must be a tensor of floating-point numbers")
    if x.device != q.device:
        raise ValueError(f"{name} is on device {x.device}, but q on device {q.device}")


def checked_slopes(slopes: Tensor, q: Tensor) -> Tensor:
    """(batch or 1, heads), as `Options` keeps them."""
    _check_per_head("alibi_slopes", slopes, q)
    if slopes.shape not in ((q.shape[1],), (q.shape[0], q.shape[1])):
        raise ValueError(
            f"alibi_slopes has shape {_shape(slopes)}, but q has a batch of {q.shape[0]} and {q.shape[1]} heads: "
            "(heads,) or (batch, heads)"
        )
    if slopes.requires_grad:
        raise ValueError(
            "alibi_slopes wants a gradient, and its slopes are fixed: detach them, or give the bias as attn_mask"
        )
    return slopes.to(torch.promote_types(q.dtype, torch.float32)).view(-1, q.shape[1])


def _check_mask(attn_mask: Tensor, q: Tensor, k: Tensor) -> None:
    scores = (*q.shape[:3], k.shape[2])
    if not isinstance(attn_mask, Tensor):
        raise ValueError(f"attn_mask is {type(attn_mask).__name__}; it must be a tensor")
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
    try:
        both = list(window_size) if isinstance(window_size, Iterable) else [window_size, window_size]
        left, right = (whole_number("window_size", side) for side in both)
    except (TypeError, ValueError):
        left = right = -2
    if min(left, right) < -1:
        raise ValueError(f"window_size is {window_size}; it is (left, right) in keys, -1 for no bound")
    return left, right


def whole_number(name: str, x: object, otherwise: str = "") -> int:
    """x as Python's own, whether it is Python's or NumPy's. Raises ValueError: it is none."""
    if isinstance(x, numbers.Integral) and not isinstance(x, bool):
        return int(x)
    raise ValueError(f"{name} is {x!r}; it must be a whole number{otherwise}")


def _number(name: str, x: object, what: str, *, above: float = -math.inf) -> float:
    """x as Python's own. `what` it must be, for the message."""
    if isinstance(x, numbers.Real) and not isinstance(x, bool) and math.isfinite(x) and float(x) > above:
        return float(x)
    raise ValueError(f"{name} is {x!r}; it must be {what}")


def named(x: Tensor) -> str:
    """Shape and dtype, for messages."""
    return f"shape {_shape(x)} and {_short(x.dtype)}"


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _heads_and_keys(x: Tensor) -> str:
    return f"{x.shape[1]} heads and {x.shape[2]} keys"
