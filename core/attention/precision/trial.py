"""One draw of an experiment about the numbers of attention. Nothing is trained.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from ... import trial as contract
from .params import Params

__all__ = ["Params", "trial"]


def trial(params: Params, context: contract.Context) -> Mapping[str, float]:
    """One draw of inputs, by the seed; the same for all variants of the same shape. Seed 0 alone reports memory.

    Raises Refused: incoherent processing with a head_dim that is no power of two.
    """
    import torch

    from . import measured

    if params.incoherent and params.head_dim & (params.head_dim - 1):
        raise contract.Refused(f"a Hadamard matrix of {params.head_dim}: head_dim must be a power of two")
    generator = torch.Generator().manual_seed(context.seed)
    match params.algorithm:
        case "flash-1" | "flash-2":
            return asdict(measured.counts(params, generator))
        case "chunked" | "whole":
            # Memory depends on no number, so that one seed is enough.
            agreement = {"agreement": measured.agreement(params, generator)}
            return agreement | (asdict(measured.overhead(params)) if context.seed == 0 else {})
        case "ties":
            return {"bias": measured.bias(params, generator)}
        case _:
            found = asdict(measured.errors(params, generator))
            return {name: value for name, value in found.items() if value is not None}
