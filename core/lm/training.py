"""Next-token training on examples: what makes a base model.

Matrices are trained by Muon (Jordan et al. 2024), which gets a small model as far in half the steps of
AdamW; embedding, head and gains by AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from .gradients import add_gradients
from .language_model import LanguageModel
from .model import Transformer
from .muon import Muon
from .not_finite import NotFinite
from .parallel import each
from .scoring import Sequences, log_probs


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps, batch: so many steps on so many examples each.
        lr, matrix_lr: the highest learning rates, of AdamW and of Muon; they rise over `warmup` of the steps and fall
            along a cosine to a tenth.
        parts: a batch is computed in so many parts of like length, which saves padding.
    """

    steps: int
    batch: int = 128
    lr: float = 3e-3
    matrix_lr: float = 1e-2
    warmup: float = 0.05
    clip: float = 1.0
    parts: int = 4


def examples(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad: int) -> Sequences:
    """Prompts and completions as tokens; the completions are what is learned."""
    width = max(len(prompt) + len(completion) for prompt, completion in pairs)
    ids = torch.tensor([[*p, *c] + [pad] * (width - len(p) - len(c)) for p, c in pairs], device="cpu")
    starts, lengths = (
        torch.tensor([len(x) for x in side], device="cpu") for side in zip(*pairs, strict=True)
    )
    return Sequences(ids, starts, lengths, torch.arange(len(ids), device="cpu"))


def train(
    model: Transformer,
    data: Sequences,
    recipe: Recipe,
    *,
    generator: torch.Generator,
    after_step: Callable[[int, float], None] | None = None,
) -> None:
    """Train in place, on batches drawn anew from `data` in each of its passes.

    `after_step` is called with the step, from 1, and the mean loss of a token.
    Raises NotFinite: the loss is not.
    """
    optimizers = optimizers_of(model, recipe)
    order, rows = torch.empty(0, dtype=torch.long, device="cpu"), len(data.ids)
    for step in range(1, recipe.steps + 1):
        while len(order) < min(recipe.batch, rows):
            order = torch.cat([order, torch.randperm(rows, generator=generator, device="cpu")])
        batch, order = data.rows(order[: recipe.batch]), order[recipe.batch :]
        for optimizer, highest in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = highest * schedule(step, recipe.steps, recipe.warmup)
        loss = learn(model, batch, recipe.parts)
        if not math.isfinite(loss):
            raise NotFinite(f"the loss is {loss} at step {step}")
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        step_all([optimizer for optimizer, _ in optimizers])
        if after_step is not None:
            after_step(step, loss)


def learn(model: LanguageModel, batch: Sequences, parts: int) -> float:
    """Add up the gradients of next-token training on one batch, computed in so many parts of like length.

    Returns: the mean negative log-likelihood of a token, in nats.
    """
    device, tokens = model.embedding.weight.device, int(batch.lengths.sum())

    def nll(part: torch.Tensor) -> tuple[torch.Tensor, float]:
        logp, _ = log_probs(model, batch.rows(part).on(device))
        mean = -logp.sum() / tokens
        return mean, float(mean.detach())

    return sum(add_gradients(model, list(batch.by_length(parts)), nll))


def adamw(parameters: Iterable[torch.nn.Parameter], lr: float) -> torch.optim.AdamW:
    """AdamW without decay, in one kernel for all parameters."""
    return torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


def optimizers_of(model: Transformer, recipe: Recipe) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices of each block, AdamW for the rest, each with its highest learning rate."""
    matrices = [[p for p in block.parameters() if p.dim() == 2] for block in model.blocks]
    of_muon = {id(p) for block in matrices for p in block}
    rest = [p for p in model.parameters() if id(p) not in of_muon]
    muons = [
        Muon(block, lr=recipe.matrix_lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        for block in matrices
    ]
    return [*((muon, recipe.matrix_lr) for muon in muons), (adamw(rest, recipe.lr), recipe.lr)]


def step_all(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Step all optimizers, as many at once as there are cores, and drop the gradients.

    Muon's products of a small model are too small to be split between two threads.
    """

    def step(optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    each(step, optimizers, optimizers[0].param_groups[0]["params"][0].device)


def schedule(step: int, steps: int, warmup: float) -> float:
    """The share of the highest learning rate at a step, from 1 to `steps`."""
    rise = max(1.0, warmup * steps)
    if step <= rise:
        return step / rise
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))
