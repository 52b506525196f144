"""The kernels that a run of attention needs, for who compiles them beforehand. Importing this loads nothing heavy."""

from __future__ import annotations

from functools import partial

from ..trial import Kernel


def kernels_of(*, backward: bool) -> list[Kernel]:
    """What `flash-numba` runs: one kernel for many queries, one for few, and one for gradients."""
    found = [Kernel("attention forward", "attention forward", 9.0, partial(_call, 17))]
    found.append(Kernel("attention decode", "attention decode", 5.0, partial(_call, 1)))
    return found + (
        [Kernel("attention backward", "attention backward", 9.0, _call_backward)] if backward else []
    )


def _call(queries: int) -> None:
    import torch

    from .arguments import Options
    from .numba.backend import outputs

    q, k = (torch.zeros(1, 1, n, 16, dtype=torch.float32, device="cpu") for n in (queries, 16))
    outputs(q, k, k, Options(causal=True, scale=1.0))


def _call_backward() -> None:
    import torch

    from .arguments import Options
    from .numba.backend import gradients

    x = torch.zeros(1, 1, 16, 16, dtype=torch.float32, device="cpu")
    gradients(x, x, x, Options(causal=True, scale=1.0), x, x[..., 0], x, None)
