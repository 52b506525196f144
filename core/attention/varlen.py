"""Sequences of different lengths, packed behind each other without padding."""

from __future__ import annotations

from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from .arguments import Arguments
from .dropout import drawn_seed, seed_of
from .registry import attention


@overload
def attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor | None = ...,
    *,
    return_lse: Literal[False] = ...,
    **options: Unpack[Arguments],
) -> Tensor: ...


@overload
def attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor | None = ...,
    *,
    return_lse: Literal[True],
    **options: Unpack[Arguments],
) -> tuple[Tensor, Tensor]: ...


def attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor | None = None,
    *,
    return_lse: bool = False,
    **options: Unpack[Arguments],
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention inside each of several packed sequences: (tokens of q, heads, d_v).

    The layout and the names are those of flash_attn_varlen_func; the longest lengths are not needed. Each sequence is
    handed to the backend by itself, as a view, so no work is done between sequences and every feature and backend holds
    here too. What is dropped is what a padded batch with the same seed would drop.

    Args:
        q: (tokens, heads, head_dim).
        k, v: (tokens, kv_heads, ·).
        cu_seqlens_q: (sequences + 1,), where each sequence begins, and at last where the last one ends: 0, …, tokens.
        cu_seqlens_k: the same of k and v; as q's where left out.
        options: as in `attention`; alibi_slopes are (heads,) or (sequences, heads).
        return_lse: also return the log-sum-exp, (heads, tokens), as the flash-attn package lays it out.
    Raises ValueError, Refused: as `attention`; also for lengths that do not fit the tokens.
    """
    cu_seqlens_k = cu_seqlens_q if cu_seqlens_k is None else cu_seqlens_k
    of_q = _cuts("cu_seqlens_q", cu_seqlens_q, "q", q)
    of_k = _cuts("cu_seqlens_k", cu_seqlens_k, "k", k)
    _cuts("cu_seqlens_k", cu_seqlens_k, "v", v)
    if len(of_q) != len(of_k):
        raise ValueError(f"cu_seqlens_q has {len(of_q)} sequences, but cu_seqlens_k {len(of_k)}")
    slopes = options.get("alibi_slopes")
    if slopes is not None and slopes.dim() == 2 and len(slopes) != len(of_q):
        raise ValueError(f"alibi_slopes has {len(slopes)} sequences, but cu_seqlens_q {len(of_q)}")
    seed = options.get("dropout_seed")
    if options.get("dropout_p") and seed is None and options.get("backend", "flash") in ("flash", "standard"):
        seed = drawn_seed()
    outputs, lses = [], []
    for n, (rows, keys) in enumerate(zip(of_q, of_k, strict=True)):
        own = options.copy()
        if slopes is not None and slopes.dim() == 2:
            own["alibi_slopes"] = slopes[n]
        if seed is not None:
            own["dropout_seed"] = seed_of(seed, n)
        Q, K, V = (x[cut].transpose(0, 1).unsqueeze(0) for x, cut in ((q, rows), (k, keys), (v, keys)))
        if return_lse:
            O, L = attention(Q, K, V, return_lse=True, **own)  # noqa: E741
            lses.append(L[0])
        else:
            O = attention(Q, K, V, **own)  # noqa: E741
        outputs.append(O[0].transpose(0, 1))
    packed = torch.cat(outputs) if outputs else q.new_zeros(0, q.shape[1], v.shape[2])
    if not return_lse:
        return packed
    wide = torch.promote_types(q.dtype, torch.float32)
    return packed, torch.cat(lses, 1) if lses else q.new_zeros(q.shape[1], 0, dtype=wide)


def _cuts(name: str, cu_seqlens: Tensor, of: str, x: Tensor) -> list[slice]:
    if x.dim() != 3:
        raise ValueError(f"{of} has shape {tuple(x.shape)}; packed it is (tokens, heads, head_dim)")
    if cu_seqlens.dim() != 1 or cu_seqlens.is_floating_point() or len(cu_seqlens) == 0:
        raise ValueError(f"{name} must be whole numbers, (sequences + 1,): where each begins, and the end")
    ends = cu_seqlens.tolist()
    if ends[0] != 0 or ends[-1] != len(x) or any(a > b for a, b in zip(ends, ends[1:], strict=False)):
        raise ValueError(f"{name} must rise from 0 to the {len(x)} tokens of {of}, but is {_shown(ends)}")
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def _shown(numbers: list[int]) -> str:
    return str(numbers if len(numbers) <= 6 else [*numbers[:3], "…", *numbers[-2:]]).replace("'", "")
