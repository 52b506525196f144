"""A transformer of `lab.core.lm` that learns f(x) from x₁ f(x₁) x₂ f(x₂) … x, and what it makes of old and new permutations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...lm.model import Config, Transformer
from ...lm.not_finite import NotFinite
from ...lm.training import Recipe, optimizers_of, schedule, step_all
from .params import Params
from .permutations import Permutations, Sequences, by_elimination, by_memory, sequences

MOST_TASKS = 4096
"""Beyond so many permutations Bayes over them is not computed; it is what elimination gives, all but exactly."""


def model_of(params: Params, seed: int, device: str) -> Transformer:
    """With weights of the seed."""
    torch.manual_seed(seed)
    config = Config(
        vocabulary=params.symbols + params.symbols ** (2 if params.joint else 1),
        context=2 * params.pairs,
        d_model=params.d_model,
        layers=params.layers,
        d_ff=3 * params.d_model,
    )
    return Transformer(config).to(device)


def logits_of(model: Transformer, of: Sequences, params: Params) -> Tensor:
    """Of f(x) where x stands, (rows, L, symbols)."""
    ids = torch.from_numpy(of.ids(params.symbols, params.joint)).to(model.embedding.weight.device)
    return model.logits(model.hidden(ids)[:, ::2])[..., : params.symbols]


def train(
    model: Transformer,
    permutations: Permutations,
    params: Params,
    random: np.random.Generator,
    after_step: Callable[[int], None],
) -> None:
    """Train in place; only values are learnt, for keys are drawn at random.

    Raises NotFinite: the loss is not.
    """
    recipe = Recipe(params.steps, params.batch, params.learning_rate, params.matrix_learning_rate)
    optimizers = optimizers_of(model, recipe)
    for step in range(1, params.steps + 1):
        batch = sequences(permutations.known(params.batch, random), params.pairs, random)
        for optimizer, highest in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = highest * schedule(step, recipe.steps, recipe.warmup)
        logits = logits_of(model, batch, params)
        loss = F.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(batch.values).to(logits.device).flatten()
        )
        if not math.isfinite(float(loss.detach())):
            raise NotFinite(f"the loss is {float(loss.detach())} at step {step}")
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        step_all([optimizer for optimizer, _ in optimizers])
        after_step(step)


@dataclass(frozen=True)
class Evaluation:
    """Sequences of new and of known permutations, the same at each evaluation."""

    new: Sequences
    known: Sequences
    ideal: dict[str, float]
    params: Params

    def measure(self, model: Transformer) -> dict[str, float]:
        """Accuracy and −log₂ p: `new/…` of new permutations where the key has been shown, `memory/…` of known ones where it
        has not, `known/…` of these where it has; `new/whole`, the share of sequences of new permutations with all such
        values right."""
        found: dict[str, float] = {}
        for name, of, where in (
            ("new", self.new, self.new.shown),
            ("known", self.known, self.known.shown),
            ("memory", self.known, ~self.known.shown),
        ):
            right, bits = answers(model, of, self.params)
            found |= {f"{name}/right": float(right[where].mean()), f"{name}/bits": float(bits[where].mean())}
            if name == "new":
                found["new/whole"] = float((right | ~where).all(1).mean())
        return found | self.ideal


def answers(model: Transformer, of: Sequences, params: Params) -> tuple[np.ndarray, np.ndarray]:
    """Whether the likeliest value is right, and −log₂ of its probability, each (rows, L)."""
    with torch.no_grad():
        logp = logits_of(model, of, params).log_softmax(-1).cpu()
    values = torch.from_numpy(of.values)
    right: np.ndarray = (logp.argmax(-1) == values).numpy()
    bits: np.ndarray = -logp.gather(-1, values[..., None]).squeeze(-1).numpy() / math.log(2)
    return right, bits


def evaluation(permutations: Permutations, params: Params, random: np.random.Generator) -> Evaluation:
    """With what Bayes would get right without the key: `ideal/memory` who knows the T permutations, `ideal/general` who only
    knows that they are permutations."""
    new = sequences(permutations.new(params.eval_sequences, random), params.pairs, random)
    known = sequences(permutations.known(params.eval_sequences, random), params.pairs, random)
    general = by_elimination(known, params.symbols)
    memory = general
    if permutations.ranks is not None and len(permutations.ranks) <= MOST_TASKS:
        memory = by_memory(known, permutations.tasks)
    hidden = ~known.shown
    ideal = {"ideal/memory": float(memory[hidden].mean()), "ideal/general": float(general[hidden].mean())}
    return Evaluation(new, known, ideal, params)


def rise(steps: list[int], values: list[float]) -> float:
    """The step at which nine tenths of the whole change are done over that at which one tenth is; steps are taken as straight
    lines. From 1, a jump, upwards.

    Raises ValueError: nothing changes.
    """
    change = values[-1] - values[0]
    if change == 0:
        raise ValueError("nothing changes")
    done = [(value - values[0]) / change for value in values]

    def reached(share: float) -> float:
        after = next(i for i, d in enumerate(done) if d >= share)
        part = (share - done[after - 1]) / (done[after] - done[after - 1])
        return steps[after - 1] + part * (steps[after] - steps[after - 1])

    return reached(0.9) / reached(0.1)
