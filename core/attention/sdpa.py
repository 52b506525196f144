"""PyTorch's own scaled_dot_product_attention, and which of its kernels really runs."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .arguments import Options
from .band import band_of

KERNELS = {
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_efficient_attention": "memory-efficient",
    "_scaled_dot_product_cudnn_attention": "cudnn",
    "_scaled_dot_product_attention_math": "math",
}
"""The beginning of an operator's name, and what the kernel behind it is called."""


def sdpa(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, None]:
    """O (B, H, Nq, d_v); without a log-sum-exp.

    PyTorch aligns `is_causal` top-left, so where Nq and Nk differ the bottom-right mask is built, (Nq, Nk).
    """
    mask, causal = options.attn_mask, options.causal
    is_top_left = options.shift == 0 or q.shape[2] == k.shape[2]
    if causal and (mask is not None or not is_top_left):
        below = band_of(q.shape[2], k.shape[2], options).mask(q.shape[2], k.shape[2], q.device)
        assert below is not None  # it is causal
        if mask is None:
            mask = below
        elif mask.dtype == torch.bool:
            mask = mask & below
        else:
            mask = mask.masked_fill(~below, float("-inf"))
        causal = False
    O = F.scaled_dot_product_attention(  # noqa: E741
        q,
        k,
        v,
        attn_mask=mask,
        dropout_p=options.dropout_p,
        is_causal=causal,
        scale=options.scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return O, None


def kernel_of_sdpa(call: Callable[[], object]) -> str:
    """The kernel that ran inside `call`: "flash", "math", "memory-efficient", "cudnn", or "none" where there is none.

    It reads the names of the operators in a profile, so it is the kernel that ran and not the expected one.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the first profile prints two lines
    from torch.autograd.profiler import profile

    with profile() as recorded:
        call()
    operators = {str(event.name).removeprefix("aten::") for event in recorded.function_events or ()}
    for beginning, kernel in KERNELS.items():
        if any(name.startswith(beginning) for name in operators):
            return kernel
    return "none"
