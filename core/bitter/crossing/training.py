"""One training by Adam on the mean squared error, and the error on new inputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from . import models
from .params import Params
from .teacher import INPUTS, inputs, teacher

WARMUP = 0.05
"""Of the steps, in which the learning rate rises; then it falls to 0 along a cosine."""


def trained(params: Params, seed: int, device: str, own: Callable[[int], object] | None = None) -> nn.Module:
    """The model of `params`, trained on the first `samples` inputs of this seed.

    Args:
        own: makes a user's model out of the number of inputs.
    Raises ModelError: it makes none.
    """
    x, y = _data(params, seed, params.samples, device, new=False)
    torch.manual_seed(seed)
    draws = torch.Generator("cpu").manual_seed(seed)
    if own is not None:
        model = models.checked(own(INPUTS), params.implementation.rpartition("/")[2], device)
        return _train(model, x, y, range(params.steps), params, draws)
    if params.model == "mlp":
        model = models.Dense(INPUTS * params.width).to(device)
        return _train(model, x, y, range(params.steps), params, draws)
    convolution = models.Convolution(params.width, params.window).to(device)
    if params.model == "convolution":
        return _train(convolution, x, y, range(params.steps), params, draws)
    cut = max(1, round(params.relax_at * params.steps))
    _train(convolution, x, y, range(cut), params, draws)
    cutting = models.cut_to_local if params.model == "local" else models.cut_to_dense
    return _train(cutting(convolution), x, y, range(cut, params.steps), params, draws)


def error(model: nn.Module, params: Params, seed: int, device: str) -> float:
    """Mean squared error on new inputs, over the target's variance, which is 1."""
    x, y = _data(params, seed, params.test_samples, device, new=True)
    model.eval()
    with torch.no_grad():
        return float((model(x).reshape(-1) - y).square().mean())


def _data(params: Params, seed: int, count: int, device: str, *, new: bool) -> tuple[Tensor, Tensor]:
    """Inputs (count, 32) and their targets (count,); fewer are the first of more."""
    x = inputs(seed, count, new=new)
    y = teacher(seed, params.filters, params.window).target(x, params.nonlocal_share)
    return _tensor(x, device), _tensor(y, device)


def _tensor(x: np.ndarray, device: str) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float32, device=device)


def _train(
    model: nn.Module, x: Tensor, y: Tensor, steps: range, params: Params, draws: torch.Generator
) -> nn.Module:
    """Those of all `params.steps` that are in `steps`; each batch is drawn with replacement."""
    model.train()
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(weights, fused=True)
    for step in steps:
        optimizer.param_groups[0]["lr"] = params.learning_rate * _schedule(step / params.steps)
        rows = torch.randint(len(x), (params.batch,), generator=draws, device="cpu").to(x.device)
        loss = (model(x[rows]).reshape(-1) - y[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def _schedule(done: float) -> float:
    """The share of the highest learning rate when this share of the steps is done."""
    return min(1.0, (done + 1e-3) / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))
