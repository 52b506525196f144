"""Trainings in the live view: what each does now, its curves, means over finished seeds, and samples of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean, stdev

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.text import Text

from ..core.experiment.schema import Experiment
from ..core.report.answers import answers
from ..core.run.process import Job
from .screen import GAP, table
from .tables import point_label

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 8  # of a sparkline, in characters
SAMPLES = 3  # lines, besides the first
ROWS = 6  # of variants, at least
NAME = 18  # characters of a variant's name before an answer


@dataclass
class Training:
    """One training so far: (step, value) of each metric, and (step, text) of samples."""

    row: str  # its variant, and its point where an axis is swept
    figures: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    samples: list[tuple[int, str]] = field(default_factory=list)
    doing: str = ""  # `base model 180 of 600`
    ended: str = ""  # its status

    @property
    def last(self) -> dict[str, float]:
        return {name: points[-1][1] for name, points in self.figures.items()}


@dataclass
class TrainingView:
    """A row for each variant and point: the training that shows its curve, and the means of its finished seeds."""

    experiment: Experiment
    trainings: dict[str, Training] = field(
        default_factory=dict
    )  # by the key of its trial, in the order of their starts

    def record(self, job: Job, step: int | None, figures: Mapping[str, float]) -> None:
        if step is not None:
            for name, value in figures.items():
                self._training(job).figures.setdefault(name, []).append((step, value))

    def sample(self, job: Job, step: int, text: str) -> None:
        self._training(job).samples.append((step, text))

    def progress(self, job: Job, done: int, of: int, what: str) -> None:
        now = " ".join([what or "step", *([f"{done} of {of}"] if of else [])])
        training = self._training(job)
        training.doing = f"{training.row}, seed {job.trial.replicate + 1}: {now}"

    def end(self, job: Job, status: str) -> None:
        """A training ended; if well, its last figures join those of the finished seeds."""
        self._training(job).ended = status

    def _training(self, job: Job) -> Training:
        trial = job.trial
        label = point_label(self.experiment, dict(trial.point))
        row = f"{trial.variant}, {label}" if label else trial.variant
        return self.trainings.setdefault(trial.key, Training(row))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        running = [training for training in self.trainings.values() if not training.ended]
        for training in running[:2]:
            if training.doing:
                yield Text(f"  now  {training.doing}", style="quiet", no_wrap=True, overflow="ellipsis")
        rows = self._rows()
        room = max(ROWS, console.height - 16)
        if rows:
            labels = [self.experiment.metrics[each].label or each for each in self._shown]
            columns = _fitting([["", "seeds", *labels], *rows], options.max_width)
            head = ["", ">seeds", *labels][:columns]
            yield table(head, [[escape(cell) for cell in row[:columns]] for row in rows[:room]])
            if len(rows) > room:
                yield Text(f"  and {len(rows) - room} more", style="quiet")
        talking = [training for training in [*running, *self.trainings.values()] if training.samples]
        if talking:
            yield Text(f"  answers through training, {talking[0].row}", style="quiet")
            first, *rest = talking[0].samples
            for step, text in [first, *rest[-SAMPLES:]]:
                yield Text(f"  step {step:>3}  {text}", no_wrap=True, overflow="ellipsis")
        # 16 lines are what stands around this view, and in it besides its rows.
        yield from self._same_problem(console.height - min(len(rows), room) - 16)

    def _same_problem(self, most: int) -> Iterator[RenderableType]:
        """The last answer of each row to the problem that most have answered, where the screen has room."""
        shared = answers({each.row: each.samples for each in self.trainings.values() if each.samples})
        if shared is None or most < 2:
            return
        rows = shared.rows[-most:]
        width = min(NAME, max(len(row.variant) for row in rows))
        yield Text(f"  the same problem, {shared.problem}", style="quiet", no_wrap=True, overflow="ellipsis")
        for row in rows:
            said = f"  {row.variant[:width]:<{width}}  {row.mark}  {row.text}"
            yield Text(said, no_wrap=True, overflow="ellipsis")

    @property
    def _shown(self) -> list[str]:
        """The metrics of the curves, once each."""
        return list(dict.fromkeys(plot.y for plot in self.experiment.plots if plot.is_curve))

    def _rows(self) -> list[list[str]]:
        """Variant, finished seeds, and a cell for each metric; those that train now first."""
        of_row: dict[str, list[Training]] = {}
        for training in self.trainings.values():
            of_row.setdefault(training.row, []).append(training)
        rows = []
        for name, trainings in of_row.items():
            running = [each for each in trainings if not each.ended]
            finished = [each.last for each in trainings if each.ended == "ok"]
            curve = (running or trainings[-1:])[0].figures
            cells = [
                with_mean(curve.get(each, ()), [last[each] for last in finished if each in last])
                for each in self._shown
            ]
            if any(cells):
                seeds = f"{len(finished)} of {self.experiment.replicates}"
                rows.append(([f"  {name}", seeds, *cells], not running))
        return [row for row, _ in sorted(rows, key=lambda row: row[1])]


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
    if not (finished := [value for value in finished if isfinite(value)]):
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
    values = [value for _, value in points if isfinite(value)]
    if len(values) < 2:
        return ""
    if len(values) > WIDTH:  # evenly, the last among them
        values = [values[round(i * (len(values) - 1) / (WIDTH - 1))] for i in range(WIDTH)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values)
