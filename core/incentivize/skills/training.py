"""Which networks a trial trains, on which samples, and how good they are at each skill by each step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...source_digest import source_digest
from ...trial import Context
from ..optimizers import OPTIMIZERS
from .networks import Bank, bank, loss, score
from .params import Params
from .parity import Parities, frequencies, parities

AT_ONCE = 64
"""Steps whose samples are drawn together."""
APART = 19_000_037
FILE = "history.npz"
NO_KEY = {"skill", "arrives", "early", "first_seed"}
"""Parameters that do not change a training."""


@dataclass(frozen=True)
class History:
    """Of a bank; each array (evaluations, networks, skills).

    Attributes:
        steps: (evaluations,), from 0.
        strength: E[g f]/S of a skill's own samples. right: accuracy. bits: −log₂ p of the label.
    """

    steps: np.ndarray
    strength: np.ndarray
    right: np.ndarray
    bits: np.ndarray


def history(params: Params, context: Context) -> History:
    """Trained once for each seed and all skills that are looked at."""
    described = params.model_dump(exclude=NO_KEY)
    key = json.dumps(
        ["skills", described, context.seed, context.device, torch.__version__, source_digest(__name__)]
    )

    def make(folder: Path) -> None:
        made = trained(params, context)
        np.savez(folder / FILE, **vars(made))

    with np.load(context.cached(key, make) / FILE) as kept:
        return History(**kept)


def trained(params: Params, context: Context) -> History:
    """Train a bank: for `over: steps` one network, or one for each skill where `sees` says so (of the curve the first skill
    only), else one for each size."""
    streams = [torch.Generator(context.device).manual_seed(APART * (i + 1) + context.seed) for i in range(4)]
    of_skills, of_weights, of_samples, of_tests = streams
    task = parities(params.skills, params.skill_bits, params.bits, of_skills)
    apart = 1 if params.sees == "all" or params.learner == "curve" else params.skills
    count = apart if params.over == "steps" else len(params.sizes)
    widths = params.sizes if params.over == "width" else [params.width] * count
    outputs = params.skill_bits if params.teach else 1
    networks = bank(widths, params.skills + params.bits, outputs, params.spread, of_weights)
    learn = OPTIMIZERS[params.optimizer](networks.weights)
    tests = [
        task.draw(torch.full((params.eval_samples,), k, device=context.device), of_tests)
        for k in range(params.skills)
    ]
    at = evaluated_at(params.steps, params.evaluations)
    found = [_measured(networks, tests, params.scale)]
    for step, (inputs, labels, taught) in enumerate(_batches(params, task, of_samples), 1):
        made = loss(networks.outputs(inputs), labels[..., -outputs:], taught, params.scale)
        made.backward()  # type: ignore[no-untyped-call]
        learn(params.learning_rate)
        if step == at[len(found)]:
            found.append(_measured(networks, tests, params.scale))
            context.progress(step, params.steps)
            if step == params.steps:
                break
    strength, right, bits = np.moveaxis(np.array(found), 1, 0)
    return History(np.array(at), strength, right, bits)


def evaluated_at(steps: int, evaluations: int) -> list[int]:
    """0, and steps evenly spaced on a log scale, the last among them."""
    spaced = np.geomspace(1, steps, evaluations).round().astype(int)
    return [0, *dict.fromkeys(spaced.tolist())]


def _measured(networks: Bank, tests: list[tuple[Tensor, Tensor]], scale: float) -> list[list[list[float]]]:
    """Strength, accuracy and bits, each (networks, skills)."""
    with torch.no_grad():
        each = [score(networks.outputs(x)[..., -1], labels[:, -1], scale) for x, labels in tests]
    return [torch.stack(of_skills, -1).tolist() for of_skills in zip(*each, strict=True)]


def _batches(
    params: Params, task: Parities, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Without end: inputs, all m labels, and the weight of each sample in each network's loss, (networks, samples, 1).

    A network of `its share` sees the samples of all and learns from those of its skill; of `it alone`, all of its samples ask
    for it.
    """
    device, batch = generator.device, params.batch
    shares = torch.from_numpy(frequencies(params.skills, params.alpha)).to(device)
    alone = torch.arange(1 if params.learner == "curve" else params.skills, device=device)
    one = torch.ones(1, dtype=torch.float32, device=device)

    def asked(samples: int) -> Tensor:
        return torch.multinomial(shares, samples, True, generator=generator)

    if params.over == "data":
        inputs, labels = task.draw(asked(params.sizes[-1]), generator)
        sizes = torch.tensor(params.sizes, device=device)[:, None]
        while True:
            # Of the first n samples, drawn anew in each step.
            part = torch.rand((len(sizes), batch), generator=generator, dtype=torch.float64, device=device)
            row = (part * sizes).long()
            yield inputs[row], labels[row], one
    while True:
        if params.sees == "it alone":
            skill = alone.repeat_interleave(AT_ONCE * batch)
            x, y = task.draw(skill, generator)
            x, y = (z.view(len(alone), AT_ONCE, batch, -1) for z in (x, y))
            for i in range(AT_ONCE):
                yield x[:, i], y[:, i], one
            continue
        skill = asked(AT_ONCE * batch)
        x, y = task.draw(skill, generator)
        for k, of_x, of_y in zip(*(torch.split(z, batch) for z in (skill, x, y)), strict=True):
            taught = (k == alone[:, None]).float()[..., None] if params.sees == "its share" else one
            yield of_x, of_y, taught
