"""Softmax by the Triton kernels, on CUDA: tensors in, tensors out, with gradients. Triton is imported by the first call.

Under `TRITON_INTERPRET=1`, set before Triton is imported, the kernels run on the CPU, slowly: that is how they are
tested where there is no GPU.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...trial import Refused
from ..differentiable import differentiable

BLOCK = 8192
"""Elements that one program holds at most; longer rows are read again in each pass."""
ELEMENTS_A_WARP = 512

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def safe(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2, in one read of a row of up to `BLOCK`, else in three.

    Arguments as in `operations.safe`, on CUDA.
    Returns: probabilities, like x. Differentiable, twice if need be.
    Raises Refused: another device or dtype; or there is no Triton.
    """
    return _softmax("safe-triton", x, dim)


def online(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 3: a row longer than `BLOCK` is read twice; see `safe`."""
    return _softmax("online-triton", x, dim)


def two_pass(x: Tensor, dim: int = -1) -> Tensor:
    """Mantissas and exponents apart, without a maximum (Dukhan & Ablavatski, arXiv:2001.04438); see `safe`."""
    return _softmax("two-pass-triton", x, dim)


def _softmax(name: str, x: Tensor, dim: int) -> Tensor:
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise Refused(f"softmax {name} works on CUDA, not on {x.device.type}")
    if x.dtype not in _DTYPES:
        raise Refused(f"softmax {name} takes floating point, not {str(x.dtype).removeprefix('torch.')}")
    return differentiable(partial(_forward, kernel=_kernel(name)), x, dim)


def _forward(x: Tensor, dim: int, kernel: Any) -> Tensor:
    import triton
    import triton.language as tl

    if x.numel() == 0:
        return torch.empty_like(x)
    last = x.movedim(dim, -1) if x.dim() else x.reshape(1)
    rows = last.reshape(-1, last.shape[-1])
    if rows.stride(-1) != 1 and rows.shape[-1] > 1:
        rows = rows.contiguous()
    y = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
    columns = rows.shape[-1]
    block = min(triton.next_power_of_2(columns), BLOCK)
    work = tl.float64 if x.dtype is torch.float64 else tl.float32
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        kernel[(len(rows),)](
            rows, y, columns, rows.stride(0), y.stride(0), BLOCK=block, FITS=columns <= block, WORK=work,
            num_warps=min(max(block // ELEMENTS_A_WARP, 1), 16),
        )  # fmt: skip
    return y.view(last.shape).movedim(-1, dim) if x.dim() else y.view(x.shape)


def _kernel(name: str) -> Any:
    try:
        from . import kernels
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise Refused(f"softmax {name} needs triton: pip install triton") from error
    return {
        "safe-triton": kernels.safe,
        "online-triton": kernels.online,
        "two-pass-triton": kernels.two_pass,
    }[name]
