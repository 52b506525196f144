"""A small training whose truth is known: a linear model on generated data, which learns, diverges or stands still."""

import time
from pathlib import Path

import torch

from lab.core.trial import Context
from lab.core.trial import Params as Base


class Params(Base):
    rate: float = 0.1
    steps: int = 20
    rows: int = 32
    pause: float = 0.0  # seconds a step: so that somebody can interrupt
    diverges: bool = False


def make(folder: Path) -> None:
    """The truth that all runs share: made once."""
    torch.save(torch.linspace(-1, 1, 8), folder / "truth.pt")


def trial(params: Params, context: Context) -> dict[str, float]:
    truth = torch.load(context.cached("tests/known/learning", make) / "truth.pt")
    generator = torch.Generator().manual_seed(context.seed)
    x = torch.randn(params.rows, 8, generator=generator)
    y = x @ truth + 0.1 * torch.randn(params.rows, generator=generator)
    w = torch.randn(8, generator=generator)
    first = 0
    if (kept := context.restore()) is not None:
        first, w = kept["step"], kept["w"]
    else:
        context.record(step=0, start=w.double().sum().item(), loss=((x @ w - y) ** 2).mean().item())
    for step in range(first + 1, params.steps + 1):
        w = w - params.rate * 2 * x.T @ (x @ w - y) / params.rows
        if params.diverges and step == 3:
            w = w * float("nan")
        context.record(step=step, loss=((x @ w - y) ** 2).mean().item())
        context.progress(step, params.steps)
        if step % 5 == 0:
            context.sample(step, f"w = {[round(each, 2) for each in w.tolist()]}")
            context.save({"step": step, "w": w})
        time.sleep(params.pause)
    return {"final": ((w - truth) ** 2).mean().item(), "resumed": float(first)}
