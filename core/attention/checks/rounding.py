"""The error that rounding makes inevitable in attention."""

from __future__ import annotations

import torch

from ..standard import scores
from .shapes import Inputs


def of_rounded_scores(truth: Inputs, dtype: torch.dtype) -> float:
    """The error of the output from rounding each score twice, as a product and when scaled.

    With u the rounding unit of `dtype` (half of eps) a score s is off by |δ| ≤ 2u|s|, and of one row then

        |δO| = |Σ_j P_j δ_j (V_j − O)| ≤ 2u Σ_j P_j |s_j| |V_j − O| ≤ 2u √(Σ_j P_j s_j² · Σ_j P_j (V_j − O)²)

    to first order (own derivation; the last step is the inequality of Cauchy and Schwarz). Over few rows of large scores
    the standard form by luck has far less, the more so where its scale is a power of two and rounds nothing. In half
    precision it rounds the scores themselves, and there this has no say.

    Args:
        truth: in float64.
        dtype: float32 or float64.
    Returns: the largest of all rows, in the output's unit.
    """
    S = scores(truth.q.detach(), truth.k.detach(), truth.options).detach()
    S = S.masked_fill(S.isneginf().all(-1, keepdim=True), 0)  # such a row gives 0
    groups, sink = S.shape[1] // truth.k.shape[1], truth.options.sink
    column = [] if sink is None else [sink.detach().view(1, -1, 1, 1).expand(*S.shape[:3], 1)]
    P = torch.softmax(torch.cat([S, *column], -1), -1)[..., : S.shape[-1]]
    V = truth.v.detach().repeat_interleave(groups, 1)
    O = P @ V  # noqa: E741
    spread = P @ V.square() - 2 * O * O + P.sum(-1, keepdim=True) * O * O
    of_scores = (P * S.masked_fill(S.isneginf(), 0).square()).sum(-1, keepdim=True)
    of_rows = (of_scores * spread.clamp_min(0)).sqrt().nan_to_num(0, 0, 0)
    return torch.finfo(dtype).eps * float(of_rows.max()) if of_rows.numel() else 0.0
