"""Muon (Jordan et al. 2024) in float32 on the CPU, where PyTorch's own multiplies in bfloat16, which few processors do fast.

The orthogonal factor of an update X (m, n), m ≤ n, is approached by five steps X ← M·X, M = a + b·G + c·G² with the Gram
matrix G = X·Xᵀ. As G turns into M·G·M, the steps go on with matrices (m, m) alone, and X is multiplied once, by the
product of all M; with n > m that takes fewer operations. A step multiplies an error of G by a² ≈ 12 at most, so that
float32's 1e-7 may grow to 2e-3 in the last M, a quarter of bfloat16's own rounding; half precision could not do this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Muon):
    """`torch.optim.Muon`, its settings and its state. Raises ValueError: `adjust_lr_fn` is not "match_rms_adamw"."""

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, **settings)
        if any(group["adjust_lr_fn"] != "match_rms_adamw" for group in self.param_groups):
            raise ValueError('adjust_lr_fn should be "match_rms_adamw"')

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step. Parameters on a GPU, or of half precision, go PyTorch's way."""
        if closure is not None or not all(
            p.device.type == "cpu" and p.dtype in (torch.float32, torch.float64)
            for group in self.param_groups
            for p in group["params"]
        ):
            found: Any = super().step(closure)  # type: ignore[no-untyped-call]
            return None if found is None else float(found)
        for group in self.param_groups:
            self._step(group)
        return None

    def _step(self, group: dict[str, Any]) -> None:
        weights: list[Tensor] = []
        gradients: list[Tensor] = []
        momenta: list[Tensor] = []
        self._init_group(group, weights, gradients, momenta)
        if not weights:
            return
        lr, momentum = float(group["lr"]), group["momentum"]
        torch._foreach_lerp_(momenta, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, momenta, momentum) if group["nesterov"] else momenta
        turned = orthogonal(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        for weight, update in zip(weights, turned, strict=True):
            weight.add_(update, alpha=-0.2 * lr * max(weight.shape) ** 0.5)


def orthogonal(
    updates: Sequence[Tensor], coefficients: tuple[float, float, float], steps: int, eps: float
) -> list[Tensor]:
    """Each matrix, its singular values nearly 1, by Newton-Schulz steps; those with a side in common at once."""
    a, b, c = coefficients
    found: dict[int, Tensor] = {}
    wide = [x if x.shape[0] <= x.shape[1] else x.T for x in updates]
    norms = torch._foreach_norm(list(updates))
    for side in {x.shape[0] for x in wide}:
        which = [i for i, x in enumerate(wide) if x.shape[0] == side]
        lengths = torch.stack([norms[i] for i in which]).clamp_(min=eps).view(-1, 1, 1)
        G = torch.stack([wide[i] @ wide[i].T for i in which]).div_(lengths.square())
        total = None
        for step in range(steps):
            M = torch.baddbmm(G, G, G, beta=b, alpha=c)
            M.diagonal(dim1=-2, dim2=-1).add_(a)
            total = M if total is None else M @ total
            if step < steps - 1:
                G = M @ G @ M
        assert total is not None, "there is at least one step"
        for i, product in zip(which, total.div_(lengths), strict=True):
            x = product @ wide[i]
            found[i] = x if wide[i] is updates[i] else x.T
    return [found[i] for i in range(len(updates))]
