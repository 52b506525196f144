"""One gradient of on-policy distillation on one pair of tables, `lab run on-policy-bias`. Nothing is sampled or trained.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from ....trial import Context, Refused
from .params import Params

__all__ = ["Params", "trial"]

MOST = 20_000
"""Sequences that are listed at most."""


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Compare one estimator; a seed has its own teacher and student. Raises Refused: too many sequences to list."""
    import torch

    from .enumeration import compare

    if params.vocabulary**params.length > MOST:
        raise Refused(
            f"{params.vocabulary}^{params.length} sequences are too many to list; {MOST} is the most"
        )
    generator = torch.Generator().manual_seed(context.seed)
    shape = params.vocabulary + 1, params.vocabulary
    teacher, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64, device="cpu")
    return asdict(
        compare(params.estimator, teacher + params.apart * noise, teacher, params.length, params.discount)
    )
