"""A reward model: a small head on the model's own trunk, which is frozen, that rates a prefix by the state of its last token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...lm.language_model import LanguageModel

CHUNK = 1024
BATCH = 256
LEARNING_RATE = 3e-3


class Head(nn.Module):
    """States (rows, d_model) to logits (rows,); they are made equally large first."""

    def __init__(self, d_model: int, width: int) -> None:
        super().__init__()
        self.mean, self.scale = nn.Buffer(torch.zeros(d_model)), nn.Buffer(torch.ones(d_model))
        self.inner, self.out = nn.Linear(d_model, width), nn.Linear(width, 1)

    def forward(self, states: Tensor) -> Tensor:
        logits: Tensor = self.out(F.gelu(self.inner((states - self.mean) / self.scale))).squeeze(-1)
        return logits


@torch.no_grad()
def last_states(model: LanguageModel, sequences: Sequence[Sequence[int]], pad: int) -> Tensor:
    """The state of the last token of each sequence, (rows, d_model)."""
    device = model.embedding.weight.device
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    found: list[Tensor] = []
    for first in range(0, len(order), CHUNK):
        rows = [sequences[i] for i in order[first : first + CHUNK]]
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        found.append(model.hidden(ids)[torch.arange(len(rows), device=device), last])
    where = torch.empty(len(order), dtype=torch.int64, device=device)
    where[torch.tensor(order, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(found)[where]


def fit(states: Tensor, targets: np.ndarray, width: int, steps: int, seed: int) -> Head:
    """Train a head by cross-entropy on targets between 0 and 1.

    Args:
        states: (rows, d_model). targets: (rows,).
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(states.shape[1], width).to(states.device)
    head.mean.copy_(states.mean(0))
    head.scale.copy_(states.std(0) + 1e-6)
    wanted = torch.tensor(targets, dtype=torch.float32, device=states.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    for step in range(steps):
        rows = torch.randint(len(states), (BATCH,), generator=generator, device="cpu").to(states.device)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        F.binary_cross_entropy_with_logits(head(states[rows]), wanted[rows]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return head
