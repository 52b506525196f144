"""Every backend by name, and the one function in front of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, overload

from torch import Tensor

from ..trial import Refused
from .arguments import MASK_GRADIENT, Options, check_inputs, check_options
from .flash import flash
from .flash_numba import flash_numba, is_faster
from .sdpa import kernel_of_sdpa, sdpa
from .short import FEW_KEYS, short
from .standard import standard


@dataclass(frozen=True)
class Backend:
    """One way to compute attention.

    Attributes:
        function: (q, k, v, options) to the output and the log-sum-exp, or None where it tells none.
        has: which of the options that not every backend has: window_size, softcap, sink, dropout_p, return_lse.
        says: what it is, in a few words.
        kernel: the name of the kernel that really ran inside a call, where it chooses among several.
    """

    function: Callable[[Tensor, Tensor, Tensor, Options], tuple[Tensor, Tensor | None]]
    has: frozenset[str]
    says: str
    kernel: Callable[[Callable[[], object]], str] | None = None


BACKENDS: dict[str, Backend] = {
    "standard": Backend(
        standard,
        frozenset({"window_size", "softcap", "sink", "dropout_p", "return_lse", MASK_GRADIENT}),
        "the textbook form, all scores in memory",
    ),
    "flash": Backend(flash, frozenset({"return_lse"}), "PyTorch tiles"),
    "flash-numba": Backend(flash_numba, frozenset({"window_size", "return_lse"}), "tiles compiled by Numba"),
    "short": Backend(short, frozenset(), "the textbook form in three operations, for short sequences"),
    "sdpa": Backend(sdpa, frozenset({"dropout_p", MASK_GRADIENT}), "PyTorch's own", kernel_of_sdpa),
}
"""Attention by name. The order is no ranking; `backend="auto"` says which it takes."""


@overload
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = ...,
    window_size: int | Sequence[int] | None = ...,
    attn_mask: Tensor | None = ...,
    softcap: float | None = ...,
    sink: Tensor | None = ...,
    dropout_p: float = ...,
    scale: float | None = ...,
    return_lse: Literal[False] = ...,
    backend: str = ...,
) -> Tensor: ...


@overload
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = ...,
    window_size: int | Sequence[int] | None = ...,
    attn_mask: Tensor | None = ...,
    softcap: float | None = ...,
    sink: Tensor | None = ...,
    dropout_p: float = ...,
    scale: float | None = ...,
    return_lse: Literal[True],
    backend: str = ...,
) -> tuple[Tensor, Tensor]: ...


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    window_size: int | Sequence[int] | None = None,
    attn_mask: Tensor | None = None,
    softcap: float | None = None,
    sink: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    return_lse: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """softmax(q·kᵀ·scale)·v, computed by the backend that is named.

    Rows that may attend to nothing give 0, with gradients of 0.

    Args:
        q: (batch, heads, queries, head_dim).
        k: (batch, kv_heads, keys, head_dim); kv_heads divides heads, and each serves heads/kv_heads of q in order.
        v: (batch, kv_heads, keys, any head_dim).
        causal: a query sees the keys up to its own place; the last query stands beside the last key (bottom-right).
        window_size: (left, right), how many keys before and behind its place a query sees, -1 for all; one number
            for both.
        attn_mask: boolean (True: may attend) or added to the scores; broadcast to (batch, heads, queries, keys).
        softcap: c replaces scores s by c·tanh(s/c), before masks.
        sink: (heads,), one more logit for each head, whose probability goes nowhere.
        dropout_p: the share of probabilities that are dropped, the rest being scaled up.
        scale: 1/√head_dim unless given.
        return_lse: also return the log-sum-exp of each row's scores, (batch, heads, queries), float32 or float64.
        backend: a name in `BACKENDS`, or "auto": the first of these that can do what is asked: short (on a CPU, for one
            query or few keys), flash-numba (where it is known to be faster, once something has asked for it by name:
            "auto" compiles nothing), sdpa, flash, standard.

    Raises:
        ValueError: arguments that do not fit together; the message names both sides.
        Refused: this backend lacks what is asked, or there is none of that name; the message says which have it.
    """
    check_inputs(q, k, v)
    options = check_options(
        q,
        k,
        causal=causal,
        scale=scale,
        attn_mask=attn_mask,
        window_size=window_size,
        softcap=softcap,
        sink=sink,
        dropout_p=dropout_p,
        return_lse=return_lse,
    )
    name = _fastest(q, k, v, options) if backend == "auto" else backend
    output, lse = _able(name, options.unusual).function(q, k, v, options)
    if not return_lse:
        return output
    assert lse is not None  # it `has` return_lse
    return output, lse


def find(name: str) -> Backend:
    """The backend of that name.

    Raises:
        Refused: there is none; the message names the nearest and all that there are.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    nearest = get_close_matches(name, BACKENDS, n=1)
    hint = f" (nearest: {nearest[0]})" if nearest else ""
    raise Refused(f"no backend {name!r}{hint}; known: {', '.join(BACKENDS)}")


def _fastest(q: Tensor, k: Tensor, v: Tensor, options: Options) -> str:
    is_short = q.device.type == "cpu" and (q.shape[2] == 1 or k.shape[2] <= FEW_KEYS)
    first: tuple[str, ...] = (
        ("short",) if is_short else ("flash-numba",) if is_faster(q, k, v, options) else ()
    )
    order: tuple[str, ...] = (*first, "sdpa", "flash", "standard")
    return next(
        name for name in order if BACKENDS[name].has.issuperset(options.unusual)
    )  # standard has everything


def _able(name: str, wanted: Sequence[str]) -> Backend:
    backend = find(name)
    for option in wanted:
        if option not in backend.has:
            others = [other for other, each in BACKENDS.items() if option in each.has]
            raise Refused(f"{name} has no {option}; it is in {', '.join(others)}")
    return backend
