"""Multitask sparse parity (Michaud et al., arXiv:2303.13506, §4.1, as set up in Nam et al., arXiv:2404.17563, §2).

The first n_s bits of an input say which skill is asked for, one-hot; n_b more are drawn at random. Skill i is the parity of
m of these, which belong to no other skill; it is asked for with a frequency of A·i^−(α+1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def frequencies(skills: int, alpha: float) -> np.ndarray:
    """A·i^−(α+1) of skill i = 1 … n_s, (n_s,); they add up to 1. With α = −1 all are the same."""
    weights: np.ndarray = np.arange(1.0, skills + 1) ** -(alpha + 1)
    shares: np.ndarray = weights / weights.sum()
    return shares


@dataclass(frozen=True)
class Parities:
    """Skills.

    Attributes:
        relevant: the m bits of each, (n_s, m), from 0 to n_b − 1.
        bits: n_b.
    """

    relevant: Tensor
    bits: int

    @property
    def skills(self) -> int:
        return len(self.relevant)

    def draw(self, skill: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (samples, n_s + n_b) of zeros and ones for these skills (samples,), from 0, and `labels` of them."""
        device = skill.device
        bits = torch.randint(2, (len(skill), self.bits), generator=generator, device=device)
        control = torch.nn.functional.one_hot(skill, self.skills)
        return torch.cat([control, bits], 1).float(), self.labels(skill, bits)

    def labels(self, skill: Tensor, bits: Tensor) -> Tensor:
        """±1, (samples, m): the parity of the skill's first 1, 2, …, m bits, −1 where it is even. The last is the skill's
        own label, those before it the steps to it."""
        own = bits.gather(1, self.relevant.to(bits.device)[skill])
        return (2 * (own.cumsum(1) % 2) - 1).float()


def parities(skills: int, skill_bits: int, bits: int, generator: torch.Generator) -> Parities:
    """m bits for each skill, drawn without replacement.

    Raises ValueError: there are not so many bits.
    """
    if skills * skill_bits > bits:
        raise ValueError(
            f"{skills} skills of {skill_bits} bits each need {skills * skill_bits}, and there are {bits}"
        )
    order = torch.randperm(bits, generator=generator, device=generator.device)
    return Parities(order[: skills * skill_bits].view(skills, skill_bits), bits)
