"""The entry to the Triton kernels: the first call imports Triton, and without it raises `Refused` in one line."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch
from torch import Tensor

from ..trial import Refused
from .arguments import Options

LARGEST = 256
"""The largest head_dim."""
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
CAPABILITY = (8, 0)
"""The least compute capability: from there on a GPU has bfloat16, and copies that run ahead of products."""


def flash_triton(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """`triton.backend.flash_triton`. Raises Refused: there is no Triton, or it cannot compute this."""
    reason = refusal(q, v)
    if reason:
        raise Refused(reason)
    from .triton.backend import flash_triton as kernel

    return kernel(q, k, v, options)


def refusal(q: Tensor, v: Tensor) -> str:
    """Why flash-triton cannot compute these here, in one line; empty where it can."""
    if find_spec("triton") is None:
        return "flash-triton needs Triton: pip install triton"
    if not q.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"flash-triton runs on CUDA, not on {q.device.type}; flash and sdpa do"
    if q.is_cuda and torch.version.hip is None and torch.cuda.get_device_capability(q.device) < CAPABILITY:
        has = ".".join(map(str, torch.cuda.get_device_capability(q.device)))
        return (
            f"flash-triton needs compute capability 8.0 (Ampere), this GPU has {has}; flash and sdpa do not"
        )
    if q.dtype not in DTYPES:
        return f"flash-triton has no {str(q.dtype).removeprefix('torch.')}; it is in standard, flash, sdpa"
    d = max(q.shape[3], v.shape[3])
    if d > LARGEST:
        return f"flash-triton takes head_dim up to {LARGEST}, not {d}; flash has no bound"
    return ""
