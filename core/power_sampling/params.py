"""The parameters of `lab run power-sampling`: those of `grpo`, whose base models it samples from, and a sampler.

Importing this costs no torch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..grpo.params import Params as Training


class Params(Training):
    """Defaults, which an experiment's file may change. What the training by rewards takes is for the sampler `grpo`."""

    sampler: Literal[
        "sample", "temperature", "power", "power-of-n", "power-mcmc", "best-of-n", "vote", "grpo"
    ] = "sample"
    """sample: the base model; temperature: at 1/alpha; power: p^alpha, enumerated; power-of-n: one of n draws, taken with a
    weight of p^(alpha-1); power-mcmc: Metropolis-Hastings; best-of-n: the likeliest of n draws; vote: the most frequent
    answer of n draws; grpo: the trained policy."""
    alpha: float = Field(4.0, gt=0, allow_inf_nan=False)
    """The power. 1 is the base model itself."""
    n: int = Field(16, ge=1)
    """Draws for one answer of power-of-n, best-of-n and vote."""
    threshold: float = Field(1e-4, gt=0, lt=1)
    """Of power, which needs an alpha of at least 1: what is less likely is not followed, and counted as uncovered."""
    most_prefixes: int = Field(50_000, ge=1)
    """Of power: the most prefixes of one problem above the threshold; with more it is refused."""
    blocks: int = Field(4, ge=1)
    """Of power-mcmc: parts of an answer that are sampled one after the other."""
    mcmc_steps: int = Field(10, ge=1)
    """Of power-mcmc: proposals for each part."""
    proposal: float | None = Field(None, gt=0)
    """Of power-mcmc: the temperature that it proposes at; left out, 1/alpha as in the paper."""
    early: bool = True
    """Of power-mcmc: whether an answer that has ended when its part is done is final, as in the authors' code; the algorithm
    goes on with it, at a cost, and only then is its limit p^alpha."""
    shared_by: int = Field(1000, ge=1)
    """Of grpo: answers that share what its training took."""
