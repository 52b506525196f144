"""Timings in the live view: each variant beside its baseline, over the processes that are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape

from ..core.experiment.schema import Experiment
from ..core.run.process import Job
from .screen import GAP, table
from .tables import point_label

POINTS = 4  # rows


@dataclass
class TimingView:
    """The newest points, and seconds of each variant in every process so far."""

    experiment: Experiment
    seconds: dict[str, dict[int, Mapping[str, float]]] = field(default_factory=dict)  # by point and repeat

    def record(self, job: Job, seconds: Mapping[str, float]) -> None:
        label = point_label(self.experiment, dict(job.trial.point))
        self.seconds[label] = {
            **self.seconds.pop(label, {}),
            job.trial.replicate: seconds,
        }  # the newest is last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        baseline = self.experiment.baseline
        names = [
            name
            for name in self.experiment.tiers[self.experiment.variants[baseline].tier]
            if any(name in each for repeats in self.seconds.values() for each in repeats.values())
        ]
        rows = [
            [f"  {label}", f"{len(repeats)} of {self.experiment.replicates}", *(_cell(name, baseline, repeats) for name in names)]
            for label, repeats in list(self.seconds.items())[-POINTS:]
        ]  # fmt: skip
        head = ["  so far", "repeats", *names]
        widths = [max(map(cell_len, column)) + GAP for column in zip(head, *rows, strict=True)]
        fitting = sum(
            1 for index in range(len(widths)) if sum(widths[: index + 1]) - GAP <= options.max_width
        )
        shown = max(fitting, 3)
        yield table(
            [head[0], *(f">{name}" for name in head[1:shown])], [[*map(escape, row[:shown])] for row in rows]
        )


def _cell(name: str, baseline: str, repeats: Mapping[int, Mapping[str, float]]) -> str:
    """`2.4 ms` of the baseline; of others how many times as fast they are, `~` once six repeats show no difference."""
    from ..core.analysis import digits
    from ..core.analysis.statistics import FEWEST, log_mean_interval

    if name == baseline:
        own = [each[name] for each in repeats.values() if name in each]
        return f"{1e3 * sorted(own)[len(own) // 2]:.3g} ms" if own else ""
    ratios = [each[baseline] / each[name] for each in repeats.values() if name in each and baseline in each]
    if not ratios:
        return ""
    found = log_mean_interval(ratios)
    return "~" if found.n >= FEWEST and not found.excludes(1) else digits.times(found.estimate)
