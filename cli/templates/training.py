"""What NAME trains: one variant at one point, from one seed."""

import math

import torch

from lab.core.trial import Context
from lab.core.trial import Params as Base


class Params(Base):
    """Everything that the YAML file may set. The text below a field is what `lab params NAME` says of it."""

    features: int = 16
    """Weights to learn."""
    condition: float = 1.0
    """How many times steeper the steepest direction is than the flattest."""
    momentum: float = 0.0
    """The share of the last step that is taken again."""
    learning_rate: float = 0.1
    """Of a direction of slope 1."""
    steps: int = 200
    """Updates."""
    batch: int = 32
    """Examples in an update."""
    optimizer: str = ""
    """Yours as "./mine.py:function", from (weights, learning_rate) to a torch optimizer. Empty: SGD with `momentum`."""


def trial(params: Params, context: Context) -> dict[str, float]:
    generator = torch.Generator().manual_seed(context.seed)  # the same data for all variants of a seed
    scale = torch.logspace(0, -math.log10(params.condition) / 2, params.features)
    truth = torch.randn(params.features, generator=generator)

    def draw(examples: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(examples, params.features, generator=generator) * scale
        return x, x @ truth + 0.1 * torch.randn(examples, generator=generator)

    held_out = draw(512)
    weights = torch.zeros(params.features, requires_grad=True)
    if params.optimizer:  # lab run NAME -s variants.mine.optimizer=./mine.py:function
        optimizer = context.load(params.optimizer)([weights], params.learning_rate)
    else:
        optimizer = torch.optim.SGD([weights], params.learning_rate, momentum=params.momentum)

    first = 0
    if (state := context.restore()) is not None:  # what `lab run --resume` goes on from
        first = state["step"]
        weights.data.copy_(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])

    for step in range(first, params.steps):
        if step % 10 == 0:
            with torch.no_grad():
                context.record(step=step, loss=float(((held_out[0] @ weights - held_out[1]) ** 2).mean()))
            context.progress(step, params.steps)
        if step % 100 == 0:
            context.save({
                "step": step, "weights": weights.detach(), "optimizer": optimizer.state_dict(), "generator": generator.get_state(),
            })  # fmt: skip
        x, y = draw(params.batch)
        optimizer.zero_grad()
        ((x @ weights - y) ** 2).mean().backward()
        optimizer.step()

    with torch.no_grad():
        loss = float(((held_out[0] @ weights - held_out[1]) ** 2).mean())
        context.record(step=params.steps, loss=loss)
        return {"loss": loss, "distance": float((weights - truth).norm())}
