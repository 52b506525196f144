"""Trainings in the live view: a sparkline of each metric by variant, and samples of text of one variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ..core.experiment.schema import Experiment
from ..core.run.process import Job
from .screen import table

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 12  # of a sparkline, in characters
SAMPLES = 4  # lines


@dataclass
class Training:
    """The figures of one training so far: (step, value) of each metric, and (step, text) of samples."""

    seed: int
    figures: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    samples: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class TrainingView:
    """The newest training of each variant."""

    experiment: Experiment
    trainings: dict[str, Training] = field(default_factory=dict)

    def record(self, job: Job, step: int | None, figures: Mapping[str, float]) -> None:
        if step is not None:
            for name, value in figures.items():
                self._training(job).figures.setdefault(name, []).append((step, value))

    def sample(self, job: Job, step: int, text: str) -> None:
        self._training(job).samples.append((step, text))

    def _training(self, job: Job) -> Training:
        training = self.trainings.get(job.trial.variant)
        if training is None or training.seed != job.trial.replicate:
            training = self.trainings[job.trial.variant] = Training(job.trial.replicate)
        return training

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        shown = [plot.y for plot in self.experiment.plots if plot.x == "step"][:3]
        rows = [
            [
                f"  {escape(name)}",
                str(training.seed + 1),
                *(sparkline(training.figures.get(each, ())) for each in shown),
            ]
            for name, training in self._in_order()
            if any(each in training.figures for each in shown)
        ]
        if rows:
            labels = [self.experiment.metrics[each].label or each for each in shown]
            parts.append(table(["", ">seed", *labels], rows))
        for name, training in self._in_order():
            if training.samples:  # of the first variant that has any
                parts += ["", Text(f"  text through training, {name}", style="quiet")]
                for step, text in training.samples[-SAMPLES:]:
                    parts.append(Text(f"  step {step:>3}  {text}", no_wrap=True, overflow="ellipsis"))
                break
        return Group(*parts)

    def _in_order(self) -> Iterable[tuple[str, Training]]:
        return [(name, self.trainings[name]) for name in self.experiment.variants if name in self.trainings]


def sparkline(points: Sequence[tuple[int, float]]) -> str:
    """`0.22 ▁▃▅▇█ 0.62`: the first value, a bar for each value, the last value."""
    if not points:
        return ""
    values = [value for _, value in points]
    first, last = (f"{value:.3g}" for value in (values[0], values[-1]))
    if len(values) == 1:
        return first
    if len(values) > WIDTH:  # evenly, the last among them
        values = [values[round(i * (len(values) - 1) / (WIDTH - 1))] for i in range(WIDTH)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    line = "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values)
    return f"{first} {line} {last}"
