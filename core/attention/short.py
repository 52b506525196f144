"""Attention for many short sequences, of which a kernel's tiles would be half empty: the textbook form in three operations.

The heads that share keys stand below each other as rows of one product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arguments import Options

FEW_QUERIES, FEW_KEYS = 8, 64
"""On a CPU of two cores, with heads that share keys, it took less time than PyTorch's kernel for 2 to so many queries and up to
so many keys: 0.34 to 0.71 of it, and with gradients 0.75 to 0.99. One query, more of them, more keys, or with gradients heads that
share none took up to 3 times as long. Measured with AVX2 in float32."""


def is_faster(q: Tensor, k: Tensor) -> bool:
    """Whether it is known to take less time than PyTorch's kernel."""
    return (
        q.device.type == "cpu"
        # In half precision it is as exact, but has to widen keys and values first.
        and q.dtype in (torch.float32, torch.float64)
        and k.shape[1] < q.shape[1]
        and 1 < q.shape[2] <= FEW_QUERIES
        and k.shape[2] <= FEW_KEYS
    )


def short(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, None]:
    """O (B, H, Nq, d_v); without a log-sum-exp. A row that may attend to nothing gives 0.

    Half precision is computed in float32 and rounded once, at the end. Rounded scores would cost ten times PyTorch's error.
    """
    (B, H, N_q, d), (_, H_kv, N_k, d_v) = q.shape, v.shape
    rows, wide = H // H_kv * N_q, torch.promote_types(q.dtype, torch.float32)
    Q, K, V = (
        x.to(wide).reshape(B * H_kv, n, width) for x, n, width in ((q, rows, d), (k, N_k, d), (v, N_k, d_v))
    )
    S = torch.bmm(Q * options.scale, K.mT)
    empty = _apply_mask(S.detach().view(B, H, N_q, N_k), options)
    P = torch.softmax(S, -1)
    if empty is not None:
        P = P.view(B, H, N_q, N_k).masked_fill(empty, 0).view(P.shape)
    return torch.bmm(P, V).to(q.dtype).view(B, H, N_q, d_v), None


def _apply_mask(S: Tensor, options: Options) -> Tensor | None:
    """Write −∞ into the masked scores.

    Autograd need not know of it: a masked key has a probability of 0, which stops its gradient.

    Returns: (…, Nq, 1), True for the rows that may attend to nothing; None where there are none.
    """
    N_q, N_k = S.shape[2:]
    mask = options.attn_mask
    if options.causal and N_q > 1:
        past = torch.ones(N_q, N_k, dtype=torch.bool, device=S.device).tril_(N_k - N_q)
        if mask is None:
            mask = past
        elif mask.dtype == torch.bool:
            mask = mask & past
        else:
            mask = mask.masked_fill(~past, -math.inf)
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        empty = ~mask.any(-1, keepdim=True)
        S.masked_fill_(~mask, -math.inf)
    else:
        empty = mask.isneginf().all(-1, keepdim=True)
        S.add_(mask)
    if not empty.any():
        return None
    S.masked_fill_(empty, 0)  # or the softmax would be NaN, and all gradients with it
    return empty
