"""The kernels that a distillation needs, for who compiles them beforehand. Importing this loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from ..lm.kernels import TOGETHER, kernels_of_training
from ..trial import Kernel


def kernels_of_distillation() -> Sequence[Kernel]:
    """Those of a training, and those of losses."""
    found = kernels_of_training()
    return (*found, Kernel("losses", TOGETHER, 6.0, _lose)) if found else ()


def _lose() -> None:
    import torch

    from .losses import forward_kl, hard_data

    logits = torch.ones(1, 2, 5, dtype=torch.float32, device="cpu").requires_grad_()
    labels = torch.ones(1, 2, dtype=torch.int64, device="cpu")
    torch.autograd.grad(forward_kl(logits, logits.detach()) + hard_data(logits, labels), logits)
