"""Trainings in the live view: what each does now, its curves, means over finished seeds, and samples of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.text import Text

from ..core.experiment.schema import Experiment
from ..core.run.process import Job
from .screen import GAP, table

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 8  # of a sparkline, in characters
SAMPLES = 3  # lines, besides the first
ROWS = 6  # of variants, at least


@dataclass
class Training:
    """The figures of one training so far: (step, value) of each metric, and (step, text) of samples."""

    seed: int
    figures: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    samples: list[tuple[int, str]] = field(default_factory=list)

    @property
    def last(self) -> dict[str, float]:
        return {name: points[-1][1] for name, points in self.figures.items()}


@dataclass
class TrainingView:
    """The newest training of each variant, and the last figures of its finished seeds."""

    experiment: Experiment
    trainings: dict[str, Training] = field(default_factory=dict)
    finished: dict[str, dict[int, Mapping[str, float]]] = field(default_factory=dict)  # by variant and seed
    doing: dict[str, str] = field(default_factory=dict)  # by trial: `accuracy, seed 1: base model 180 of 600`

    def record(self, job: Job, step: int | None, figures: Mapping[str, float]) -> None:
        if step is not None:
            for name, value in figures.items():
                self._training(job).figures.setdefault(name, []).append((step, value))

    def sample(self, job: Job, step: int, text: str) -> None:
        self._training(job).samples.append((step, text))

    def progress(self, job: Job, done: int, of: int, what: str) -> None:
        trial = job.trial
        now = " ".join([what or "step", *([f"{done} of {of}"] if of else [])])
        self.doing[trial.key] = f"{trial.variant}, seed {trial.replicate + 1}: {now}"

    def end(self, job: Job, is_ok: bool) -> None:
        """A training ended: its last figures join those of the finished seeds."""
        self.doing.pop(job.trial.key, None)
        if is_ok and (last := self._training(job).last):
            self.finished.setdefault(job.trial.variant, {})[job.trial.replicate] = last

    def _training(self, job: Job) -> Training:
        training = self.trainings.get(job.trial.variant)
        if training is None or training.seed != job.trial.replicate:
            training = self.trainings[job.trial.variant] = Training(job.trial.replicate)
        return training

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for line in list(self.doing.values())[:2]:
            yield Text(f"  now  {line}", style="quiet", no_wrap=True, overflow="ellipsis")
        rows = self._rows()
        room = max(ROWS, console.height - 16)
        if rows:
            labels = [self.experiment.metrics[each].label or each for each in self._shown]
            columns = _fitting([["", "seeds", *labels], *rows], options.max_width)
            head = ["", ">seeds", *labels][:columns]
            yield table(head, [[escape(cell) for cell in row[:columns]] for row in rows[:room]])
            if len(rows) > room:
                yield Text(f"  and {len(rows) - room} more", style="quiet")
        for name, training in self._in_order():
            if training.samples:  # of the first variant that has any
                yield Text(f"  one question through training, {name}", style="quiet")
                first, *rest = training.samples
                for step, text in [first, *rest[-SAMPLES:]]:
                    yield Text(f"  step {step:>3}  {text}", no_wrap=True, overflow="ellipsis")
                break

    @property
    def _shown(self) -> list[str]:
        """The metrics of the curves, once each."""
        return list(dict.fromkeys(plot.y for plot in self.experiment.plots if plot.x == "step"))

    def _rows(self) -> list[list[str]]:
        """Variant, finished seeds, and a cell for each metric; those that train now first."""
        rows = []
        for name, training in self._in_order():
            finished = self.finished.get(name, {})
            cells = [
                with_mean(
                    training.figures.get(each, ()), [last[each] for last in finished.values() if each in last]
                )
                for each in self._shown
            ]
            if any(cells):
                seeds = f"{len(finished)} of {self.experiment.replicates}"
                rows.append(([f"  {name}", seeds, *cells], training.seed in finished))
        return [row for row, _ in sorted(rows, key=lambda row: row[1])]

    def _in_order(self) -> list[tuple[str, Training]]:
        return [(name, self.trainings[name]) for name in self.experiment.variants if name in self.trainings]


def _fitting(rows: Sequence[Sequence[str]], width: int) -> int:
    """How many columns fit, at least three."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    fitting = 0
    for index in range(len(widths)):
        if sum(widths[: index + 1]) + GAP * index <= width:
            fitting = index + 1
    return max(fitting, min(3, len(widths)))


def with_mean(points: Sequence[tuple[int, float]], finished: Sequence[float]) -> str:
    """`0.22 ▁▃▅▇█ 0.62` of a first training; behind finished ones their mean and spread: `▁▃▅▇█ 0.61 ±0.03`."""
    if not finished:
        return sparkline(points)
    spread = f" ±{stdev(finished):.2g}" if len(finished) > 1 else ""
    return f"{bars(points)} {fmean(finished):.3g}{spread}".strip()


def sparkline(points: Sequence[tuple[int, float]]) -> str:
    """`0.22 ▁▃▅▇█ 0.62`: the first value, a bar for each value, the last value."""
    if not points:
        return ""
    first, last = (f"{points[i][1]:.3g}" for i in (0, -1))
    return f"{first} {bars(points)} {last}" if len(points) > 1 else first


def bars(points: Sequence[tuple[int, float]]) -> str:
    """`▁▃▅▇█`: a bar for each value, at most `WIDTH`."""
    values = [value for _, value in points]
    if len(values) < 2:
        return ""
    if len(values) > WIDTH:  # evenly, the last among them
        values = [values[round(i * (len(values) - 1) / (WIDTH - 1))] for i in range(WIDTH)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values)
