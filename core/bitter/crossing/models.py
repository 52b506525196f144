"""The networks: each sums ReLUs of sums of its inputs. They differ in which weights exist, and which of them are one.

    convolution  a window's weights, the same at each place, and a mean
    local        a window's weights, others at each place, and a sum with weights
    dense        all weights

d'Ascoli, Sagun, Biroli & Bruna (arXiv:1906.06766) cut the ties of a trained convolution: it computes the same at first, and
goes on as a dense network (their eFCN). So do `cut_to_local` and `cut_to_dense`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .teacher import INPUTS, windows


class Convolution(nn.Module):
    """(samples, 32) to (samples,); the inputs lie on a circle."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.windows = windows(window)
        self.filters, self.out = nn.Linear(window, width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.relu(self.filters(x[:, self.windows])).mean(1)
        y: Tensor = self.out(mean)[:, 0]
        return y


class LocallyConnected(nn.Module):
    """The same windows with weights of their own: kernels (32, window, width), biases and out (32, width)."""

    def __init__(self, kernels: Tensor, biases: Tensor, out: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.windows = windows(kernels.shape[1])
        self.kernels, self.biases, self.out, self.bias = map(nn.Parameter, (kernels, biases, out, bias))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.einsum("npw,pwc->npc", x[:, self.windows], self.kernels) + self.biases
        return torch.einsum("npc,pc->n", torch.relu(hidden), self.out) + self.bias


class Dense(nn.Module):
    """One hidden layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(INPUTS, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(torch.relu(self.hidden(x)))[:, 0]
        return y


@torch.no_grad()
def cut_to_local(model: Convolution) -> LocallyConnected:
    """A locally connected network that computes what the convolution does."""
    kernels = model.filters.weight.T.expand(INPUTS, -1, -1).clone()
    biases, out = (x.expand(INPUTS, -1).clone() for x in (model.filters.bias, model.out.weight / INPUTS))
    return LocallyConnected(kernels, biases, out, model.out.bias.clone())


@torch.no_grad()
def cut_to_dense(model: Convolution) -> Dense:
    """A dense network that computes what the convolution does: weights outside of windows are there, and are 0."""
    width = model.filters.out_features
    dense = Dense(INPUTS * width).to(model.out.weight.device)
    rows = dense.hidden.weight.view(INPUTS, width, INPUTS)
    rows.zero_()
    for place, seen in enumerate(np.asarray(model.windows)):
        rows[place][:, seen] = model.filters.weight
    dense.hidden.bias.copy_(model.filters.bias.repeat(INPUTS))
    dense.out.weight.copy_(model.out.weight.repeat(1, INPUTS) / INPUTS)
    dense.out.bias.copy_(model.out.bias)
    return dense


class ModelError(Exception):
    """A model of the user's is none, or gives what is no number for each input."""


def checked(model: object, name: str, device: str) -> nn.Module:
    """A user's model, after it has been tried on two inputs.

    Raises ModelError: what is wrong with it, in one line.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returns {type(model).__name__}, not a torch.nn.Module")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"{name} has no parameters to train")
    model = model.to(device)
    x = torch.linspace(-1, 1, 2 * INPUTS, dtype=torch.float32, device=device).view(2, INPUTS)
    try:
        y = model(x)
    except Exception as error:
        why = str(error).strip().splitlines() or [""]
        raise ModelError(
            f"{name} fails on inputs of shape (2, {INPUTS}): {type(error).__name__}: {why[0]}"
        ) from error
    if not isinstance(y, Tensor) or tuple(y.shape) not in ((2,), (2, 1)):
        given = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ModelError(f"{name} gives {given} for inputs of shape (2, {INPUTS}); (2,) or (2, 1) is needed")
    if not torch.isfinite(y).all():
        raise ModelError(f"{name} gives NaN or infinity before it is trained")
    return model
