"""What a timing shows while it runs: ratios to the baseline over the processes so far."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from lab.cli.screen import THEME
from lab.cli.timing_view import TimingView
from lab.core.experiment.load import load

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"


def job(size: int, repeat: int) -> Any:
    return SimpleNamespace(trial=SimpleNamespace(point=(("size", size),), replicate=repeat))


def shown(view: TimingView, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False, theme=THEME)
    with console.capture() as capture:
        console.print(view)
    return capture.get().splitlines()


def test_a_ratio_stands_beside_the_baseline_and_a_tilde_once_six_repeats_see_no_difference():
    view = TimingView(load(str(KNOWN)).experiment)
    for repeat in range(6):
        noise = 1 + 0.01 * (-1) ** repeat
        view.record(job(1, repeat), {"base": 2e-3, "same": 2e-3 * noise, "tenth-slower": 4e-3})
        if repeat == 1:
            assert "1 of 6" not in shown(view)[1] and "2 of 6" in shown(view)[1] and "~" not in shown(view)[1]
    head, row = shown(view)
    assert "base" in head and "2 ms" in row and "~" in row and "0.5x" in row and "6 of 6" in row


def test_the_newest_four_points_are_shown_in_80_columns():
    view = TimingView(load(str(KNOWN)).experiment)
    for size in range(9):
        view.record(job(size, 0), {"base": 1e-3, "same": 1e-3})
    view.record(job(2, 1), {"base": 1e-3, "same": 1e-3})
    lines = shown(view)
    assert len(lines) == 5 and "size=2" in lines[-1] and max(map(len, lines)) <= 80
    assert len(shown(view, width=30)) == 5
