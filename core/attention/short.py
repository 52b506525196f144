"""Attention for many short sequences, of which a kernel's tiles would be half empty: the textbook form in three operations.

The heads that share keys stand below each other as rows of one product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arguments import Options

FEW_KEYS = 64
"""On a CPU it takes less time than PyTorch's kernel up to about so many keys, and for one query at any number."""


def short(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, None]:
    """O (B, H, Nq, d_v); it does not tell the log-sum-exp.

    A row that may attend to nothing gives 0.
    """
    (B, H, N_q, d), (_, H_kv, N_k, d_v) = q.shape, v.shape
    rows = H // H_kv * N_q
    Q, K, V = q.reshape(B * H_kv, rows, d), k.reshape(B * H_kv, N_k, d), v.reshape(B * H_kv, N_k, d_v)
    S = torch.bmm(Q * options.scale, K.mT)
    empty = _hide(S.detach().view(B, H, N_q, N_k), options)
    P = torch.softmax(S, -1)
    if empty is not None:
        P = P.view(B, H, N_q, N_k).masked_fill(empty, 0).view(P.shape)
    return torch.bmm(P, V).view(B, H, N_q, d_v), None


def _hide(S: Tensor, options: Options) -> Tensor | None:
    """Write −∞ into the scores where nothing may be seen; the rows that see nothing, (…, Nq, 1), where there are any.

    No gradient has to know of it: what is hidden has a probability of 0, which stops it.
    """
    N_q, N_k = S.shape[2:]
    seen = options.attn_mask
    if options.causal and N_q > 1:
        past = torch.ones(N_q, N_k, dtype=torch.bool, device=S.device).tril_(N_k - N_q)
        if seen is None:
            seen = past
        elif seen.dtype == torch.bool:
            seen = seen & past
        else:
            seen = seen.masked_fill(~past, -math.inf)
    if seen is None:
        return None
    if seen.dtype == torch.bool:
        empty = ~seen.any(-1, keepdim=True)
        S.masked_fill_(~seen, -math.inf)
    else:
        empty = seen.isneginf().all(-1, keepdim=True)
        S.add_(seen)
    if not empty.any():
        return None
    S.masked_fill_(empty, 0)  # or the softmax would be NaN, and all gradients with it
    return empty
