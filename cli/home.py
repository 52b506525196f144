"""`lab` alone: what there is, what each experiment asks, how long it took here, what to type first."""

from __future__ import annotations

from pathlib import Path

from .overviews import experiments, experiments_table
from .screen import out


def home() -> None:
    """`lab` alone: what there is, what each asks, how long it takes here, what to type first."""
    screen = out()
    from ..core.measure.machine import usable_cores

    cores, gpu = usable_cores(), any(Path("/dev").glob("nvidia[0-9]*"))
    machine = f"CPU, {cores} core{'s' if cores > 1 else ''}, {'a GPU' if gpu else 'no GPU'}"
    screen.print(f"[name]lab[/] · claims from ML papers, tried on this machine    [quiet]{machine}[/]\n")
    screen.print(experiments_table(experiments(None), screen.width))
    screen.print(
        "\n[quiet]~ expected here, before the first run[/]"
        "\nby paper or word: [command]lab list WORD[/]    all claims: [command]lab claims[/]"
        "\nstart with: [command]lab run flash-attn[/]    all commands: [command]lab --help[/]"
    )
