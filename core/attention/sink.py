"""A learned sink: one more logit for each head, which has no value vector."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_of_sink(sink: Tensor, L: Tensor, D: Tensor) -> Tensor:
    """−Σ e^(sink − L)·D over all rows of a head, (H,).

    Args:
        sink: (H,).
        L: (B, H, Nq), the log-sum-exp, the sink's share in it.
        D: (B, H, Nq), of Algorithm 2 of FlashAttention-2, less the gradient of L.
    """
    lowest = torch.finfo(L.dtype).min
    share = (sink.detach().to(L.dtype)[:, None] - L.clamp_min(lowest)).exp_()
    return (share * D).sum((0, 2)).neg_().to(sink.dtype)
