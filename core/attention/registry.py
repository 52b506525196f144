"""Every backend by name, and `attention`, which calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from ..addresses import have_tangents
from ..suggest import did_you_mean
from ..trial import Refused
from .arguments import (
    EVERYTHING,
    FORWARD_MODE,
    MASK_GRADIENT,
    TOP_LEFT,
    Alignment,
    MaskedArguments,
    Options,
    check_inputs,
    check_options,
)
from .flash.backend import flash
from .flash_numba import flash_numba, is_faster
from .flash_triton import flash_triton, refusal
from .flex import flex, how_flex_ran
from .sdpa import kernel_of_sdpa, sdpa
from .short import is_faster as short_is_faster
from .short import short
from .standard import standard

Function = Callable[[Tensor, Tensor, Tensor, Options], tuple[Tensor, Tensor | None]]
"""(q, k, v, options) to the output and the log-sum-exp, or None where a backend computes none."""


@dataclass(frozen=True)
class Backend:
    """One way to compute attention.

    Attributes:
        function: gets no option that is not in `has`.
        has: which of `EVERYTHING`, the options that not every backend has.
        says: what it is, in a few words.
        kernel: the name of the kernel that really ran inside a call, where it chooses among several.
    """

    function: Function
    has: frozenset[str]
    says: str
    kernel: Callable[[Callable[[], object]], str] | None = None


_IN_TILES = frozenset(
    {"window_size", "softcap", "sink", "dropout_p", "return_lse", "alibi_slopes", "dropout_seed", TOP_LEFT}
)
"""What all flash kernels have. A new option is missing here, and so refused, until it is in them."""

BACKENDS: dict[str, Backend] = {
    "standard": Backend(standard, EVERYTHING, "the textbook form, all scores in memory"),
    "flash": Backend(flash, _IN_TILES | {MASK_GRADIENT}, "PyTorch tiles"),
    "flash-numba": Backend(flash_numba, _IN_TILES, "tiles compiled by Numba"),
    "flash-triton": Backend(flash_triton, _IN_TILES, "tiles compiled by Triton for the GPU"),
    "short": Backend(
        short, frozenset({FORWARD_MODE}), "the textbook form in three operations, for short sequences"
    ),
    "flex": Backend(
        flex,
        frozenset({"window_size", "softcap", "alibi_slopes", "return_lse", TOP_LEFT}),
        "PyTorch's flex_attention, not compiled on a CPU",
        how_flex_ran,
    ),
    "sdpa": Backend(sdpa, frozenset({"dropout_p", MASK_GRADIENT, TOP_LEFT}), "PyTorch's own", kernel_of_sdpa),
}
"""Attention by name. The order is no ranking; `backend="auto"` says which it takes."""


@overload
def attention(
    q: Tensor, k: Tensor, v: Tensor, *, return_lse: Literal[False] = ..., **options: Unpack[MaskedArguments]
) -> Tensor: ...


@overload
def attention(
    q: Tensor, k: Tensor, v: Tensor, *, return_lse: Literal[True], **options: Unpack[MaskedArguments]
) -> tuple[Tensor, Tensor]: ...


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    align: Alignment = "bottom-right",
    window_size: int | Sequence[int] | None = None,
    attn_mask: Tensor | None = None,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sink: Tensor | None = None,
    dropout_p: float = 0.0,
    dropout_seed: int | None = None,
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
        causal: a query attends to the keys up to its own position.
        align: the position of a query among the keys, for causal, window_size and alibi_slopes: the last query stands
            beside the last key ("bottom-right", as in flash-attn), or the first beside the first ("top-left", as in
            SDPA's is_causal).
        window_size: (left, right), how many keys before and after its position a query attends to, -1 for all; one
            number for both.
        attn_mask: boolean (True: may attend) or added to the scores; broadcast to (batch, heads, queries, keys).
        alibi_slopes: (heads,) or (batch, heads); slope · distance between key and position is subtracted from each score.
            They have no gradient.
        softcap: c replaces scores s by c·tanh(s/c), before ALiBi and masks.
        sink: (heads,), one more logit for each head, which has no value vector.
        dropout_p: the share of probabilities that are dropped, the rest being scaled up.
        dropout_seed: the same seed drops the same probabilities, in standard, flash, flash-numba and flash-triton alike
            (see `dropout`).
            None: it is drawn from PyTorch's generator, so `torch.manual_seed` makes it reproducible too.
        scale: 1/√head_dim unless given.
        return_lse: also return the log-sum-exp of each row's scores and its sink, (batch, heads, queries), float32 or
            float64. It has a gradient.
        backend: a name in `BACKENDS`, or "auto": the first of these that has all options in use: short (on a CPU, for 2
            to 8 queries and up to 64 keys that heads share, not in half precision), flash-numba (where it is known to be faster, once
            a call has named it: "auto" compiles nothing), sdpa, flash-triton (on CUDA only), flash, standard.
    Raises:
        ValueError: arguments that do not fit together; the message names both sides.
        Refused: the backend lacks an option, or there is none of that name; the message names the backends that have it.
    """
    check_inputs(q, k, v)
    options = check_options(
        q,
        k,
        causal=causal,
        align=align,
        scale=scale,
        attn_mask=attn_mask,
        window_size=window_size,
        softcap=softcap,
        sink=sink,
        dropout_p=dropout_p,
        dropout_seed=dropout_seed,
        alibi_slopes=alibi_slopes,
        return_lse=return_lse,
    )
    wanted = options.unusual
    if have_tangents(q, k, v, *options.tensors.values()):
        wanted.append(FORWARD_MODE)
    name = _fastest(q, k, v, options, wanted) if backend == "auto" else backend
    found = find(name)
    _refuse(name, wanted)
    if (
        backend == "auto" and name == "standard"
    ):  # of half precision it rounds scores; PyTorch's kernel does not
        wide = torch.promote_types(q.dtype, torch.float32)
        output, lse = found.function(q.to(wide), k.to(wide), v.to(wide), options)
        output = output.to(q.dtype)
    else:
        output, lse = found.function(q, k, v, options)
    if not return_lse:
        return output
    assert lse is not None  # it `has` return_lse
    return output, lse


def find(name: str) -> Backend:
    """The backend of that name. Raises Refused: there is none; the message names the nearest and all that there are."""
    if name in BACKENDS:
        return BACKENDS[name]
    raise Refused(f"no backend {name!r}.{did_you_mean(name, BACKENDS)} There are: {', '.join(BACKENDS)}")


def _fastest(q: Tensor, k: Tensor, v: Tensor, options: Options, wanted: Sequence[str]) -> str:
    first = ("short",) if short_is_faster(q, k) else ("flash-numba",) if is_faster(q, k, v, options) else ()
    on_gpu = ("flash-triton",) if q.is_cuda and not refusal(q, v) else ()
    order: tuple[str, ...] = (*first, "sdpa", *on_gpu, "flash", "standard")
    return next(name for name in order if BACKENDS[name].has.issuperset(wanted))  # standard has everything


def by_name(name: str) -> Function:
    """The function of a backend; an option that it lacks raises `Refused`, which names the backends that have it.

    A log-sum-exp is not refused: it is None where the backend computes none.

    Raises Refused: there is no such backend.
    """
    backend = find(name)

    def function(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor | None]:
        _refuse(name, [option for option in options.unusual if option != "return_lse"])
        return backend.function(q, k, v, options)

    return function


def _refuse(name: str, wanted: Sequence[str]) -> None:
    for option in wanted:
        if option not in BACKENDS[name].has:
            others = [other for other, each in BACKENDS.items() if option in each.has]
            raise Refused(f"{name} has no {option}; it is in {', '.join(others)}")
