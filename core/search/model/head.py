"""A reward model: a small head on the model's own trunk, which is frozen.

It reads of each token of a prefix the state behind it, its log-probability and the entropy of the distribution that it was drawn
from, and takes the largest and the mean of what it makes of them, and of the last. The state of the last token alone says too
little: what the model needs for going on is the value of a step, not whether that was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...lm.language_model import LanguageModel
from ...lm.precision import wide

CHUNK = 512
BATCH = 128
LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class Read:
    """Prefixes as a head reads them.

    Attributes:
        tokens: (rows, tokens, d_model + 2), the prompt's not among them; 0 behind the end.
        lengths: (rows,).
    """

    tokens: Tensor
    lengths: Tensor

    def rows(self, which: Tensor) -> Read:
        lengths = self.lengths[which]
        return Read(self.tokens[which, : int(lengths.max())], lengths)


class Head(nn.Module):
    """What is read to a logit for each prefix, (rows,)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float32, device="cpu"))
        self.register_buffer("scale", torch.ones(features, dtype=torch.float32, device="cpu"))
        self.of_token, self.of_prefix = nn.Linear(features, width), nn.Linear(3 * width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, read: Read) -> Tensor:
        x = F.gelu(self.of_token((read.tokens - self.mean) / self.scale))
        columns = torch.arange(x.shape[1], device=x.device)
        there = (columns < read.lengths[:, None])[..., None]
        largest = x.masked_fill(~there, -torch.inf).amax(1)
        mean = (x * there).sum(1) / read.lengths[:, None]
        last = x[torch.arange(len(x), device=x.device), read.lengths - 1]
        logits: Tensor = self.out(F.gelu(self.of_prefix(torch.cat([largest, mean, last], 1)))).squeeze(-1)
        return logits


@torch.no_grad()
def read(
    model: LanguageModel, prompts: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]], pad: int
) -> Read:
    """What a head reads of prefixes, each behind its prompt."""
    device = model.embedding.weight.device
    longest = max(map(len, prefixes))
    lengths = torch.tensor([len(ids) for ids in prefixes], device=device)
    found: list[Tensor] = []
    for first in range(0, len(prefixes), CHUNK):
        pairs = list(zip(prompts[first : first + CHUNK], prefixes[first : first + CHUNK], strict=True))
        width = max(len(p) + len(ids) for p, ids in pairs)
        rows = torch.tensor(
            [[*p, *ids, *[pad] * (width - len(p) - len(ids))] for p, ids in pairs], device=device
        )
        hidden = model.hidden(rows)
        log_p = torch.log_softmax(wide(model.logits(hidden[:, :-1])), -1)
        chosen, entropy = log_p.gather(-1, rows[:, 1:, None]), -(log_p.exp() * log_p).sum(-1, keepdim=True)
        features = torch.cat([hidden[:, 1:], chosen.to(hidden.dtype), entropy.to(hidden.dtype)], -1)
        column = torch.arange(longest, device=device)
        begins = torch.tensor([len(p) - 1 for p, _ in pairs], device=device)
        at = (begins[:, None] + column).clamp(max=width - 2)
        some = features.gather(1, at[..., None].expand(-1, -1, features.shape[-1]))
        found.append(some * (column < lengths[first : first + CHUNK, None])[..., None])
    return Read(torch.cat(found), lengths)


def fit(read: Read, targets: np.ndarray, width: int, steps: int, seed: int) -> Head:
    """Train a head by cross-entropy on targets between 0 and 1, (rows,)."""
    device, rows = read.tokens.device, len(read.lengths)
    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(read.tokens.shape[-1], width).to(device)
    there = torch.arange(read.tokens.shape[1], device=device) < read.lengths[:, None]
    head.mean = read.tokens[there].mean(0)
    head.scale = read.tokens[there].std(0) + 1e-6
    wanted = torch.tensor(targets, dtype=torch.float32, device=device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    for step in range(steps):
        some = torch.randint(rows, (BATCH,), generator=generator, device="cpu").to(device)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        F.binary_cross_entropy_with_logits(head(read.rows(some)), wanted[some]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return head
