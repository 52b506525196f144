"""Decoding: one query beside a cache of keys and values, split over the keys, and the parts merged with ⊕.

Of a part one needs its output O_s and the log-sum-exp L_s of its scores (Dao et al., "Flash-Decoding", 2023; the same ⊕
that merges tiles in Milakov & Gimelshein, arXiv:1805.02867, §3.1):

    L = log Σ_s e^(L_s)        O = Σ_s e^(L_s − L) O_s

⊕ is associative and commutative, and (−∞, 0) is its neutral element, so parts may be of any size, empty ones too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .arguments import check_inputs, checked_slopes, named, whole_number
from .registry import attention

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def merge(outputs: Sequence[Tensor], lses: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """⊕ of parts that attend to different keys: O (…, d_v), in the dtype of the parts, and L (…).

    Args:
        outputs: each (…, d_v).
        lses: each (…), float32 or float64.
    """
    parts = torch.stack(list(lses))
    L = torch.logsumexp(parts, 0)
    # A row masked in every part gives 0: −∞ − (−∞) would be NaN.
    weights = (parts - L.masked_fill(L.isneginf(), 0)).exp().unsqueeze(-1)
    O = (torch.stack(list(outputs)) * weights).sum(0)  # noqa: E741
    return O.to(outputs[0].dtype), L


def attention_decode(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    lengths: Tensor | None = None,
    window: int | None = None,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sink: Tensor | None = None,
    scale: float | None = None,
    splits: int = 1,
    backend: str = "flash",
) -> tuple[Tensor, Tensor]:
    """Attention of the newest token: O (batch, heads, 1, d_v) and the log-sum-exp (batch, heads, 1).

    Args:
        q: (batch, heads, 1, head_dim).
        k, v: the cache, (batch, kv_heads, capacity, ·).
        lengths: (batch,), how many keys of the cache are filled, the newest token's among them; all where left out.
            What lies beyond may be anything finite; with the backends flash and standard, anything.
        window: how many keys before its own a query sees; -1 or None for all.
        alibi_slopes, softcap, sink, scale: as in `attention`.
        splits: into how many parts the keys are cut, each of which could be another core's.
        backend: must have return_lse.
    Raises ValueError: more than one query, no part, or lengths that do not fit the cache.
    """
    check_inputs(q, k, v)
    capacity = k.shape[2]
    if q.shape[2] != 1:
        raise ValueError(f"q has {q.shape[2]} queries; decoding is of one, the newest token's")
    if splits < 1:
        raise ValueError(f"splits is {splits}; there is at least one part")
    if lengths is None:
        lengths = torch.full((q.shape[0],), capacity, dtype=torch.int64, device=k.device)
    if not isinstance(lengths, Tensor) or lengths.dtype not in WHOLE or lengths.shape != (q.shape[0],):
        what = f"of {named(lengths)}" if isinstance(lengths, Tensor) else type(lengths).__name__
        raise ValueError(f"lengths is {what}; it must be a tensor of whole numbers, ({q.shape[0]},)")
    if lengths.device != q.device:
        raise ValueError(f"lengths is on device {lengths.device}, but q on device {q.device}")
    if len(lengths) and not (int(lengths.min()) >= 0 and int(lengths.max()) <= capacity):
        raise ValueError(
            f"lengths go from {int(lengths.min())} to {int(lengths.max())}; the cache has {capacity}"
        )
    if window is not None and whole_number("window", window) < -1:
        raise ValueError(f"window is {window}; it is a number of keys, -1 or None for all")
    slopes = None if alibi_slopes is None else checked_slopes(alibi_slopes, q)
    parts = []
    for part in torch.arange(capacity, device=k.device).tensor_split(splits):
        start, stop = (int(part[0]), int(part[-1]) + 1) if len(part) else (0, 0)
        O, L = attention(  # noqa: E741
            q,
            k[:, :, start:stop],
            v[:, :, start:stop],
            attn_mask=_mask(part, lengths, window),
            alibi_slopes=alibi_slopes,
            softcap=softcap,
            scale=scale,
            return_lse=True,
            backend=backend,
        )
        if slopes is not None:
            # `attention` put the query beside the part's last key. From its own position every key is further by the same
            # distance, which changes L and not O.
            L = L - (slopes * (lengths.unsqueeze(1) - stop)).unsqueeze(-1).to(L.dtype)
        parts.append((O, L))
    if sink is not None:
        alone = sink.to(parts[0][1].dtype).view(1, -1, 1).expand(*q.shape[:3])
        parts.append((torch.zeros_like(parts[0][0]), alone))
    outputs, lses = zip(*parts, strict=True)
    return merge(outputs, lses)


def _mask(keys: Tensor, lengths: Tensor, window: int | None) -> Tensor:
    """The mask of some keys, (batch, 1, 1, keys)."""
    behind = lengths.unsqueeze(1) - 1 - keys  # how far before the newest token
    mask = behind >= 0
    if window is not None and window >= 0:
        mask &= behind <= window
    return mask[:, None, None]
