"""What trainings look like while they run: the course of each variant's figures, and text that one of them tells."""

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
WIDTH = 12  # of a course, in characters
SAMPLES = 4  # lines


@dataclass
class Course:
    """What one training has told so far: (step, value) of each metric, and (step, text) of samples."""

    seed: int
    figures: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    samples: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Learning:
    """The newest training of each variant."""

    experiment: Experiment
    courses: dict[str, Course] = field(default_factory=dict)

    def record(self, job: Job, step: int | None, figures: Mapping[str, float]) -> None:
        if step is not None:
            for name, value in figures.items():
                self._course(job).figures.setdefault(name, []).append((step, value))

    def sample(self, job: Job, step: int, text: str) -> None:
        self._course(job).samples.append((step, text))

    def _course(self, job: Job) -> Course:
        course = self.courses.get(job.trial.variant)
        if course is None or course.seed != job.trial.replicate:
            course = self.courses[job.trial.variant] = Course(job.trial.replicate)
        return course

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        shown = [plot.y for plot in self.experiment.plots if plot.x == "step"][:3]
        rows = [
            [
                f"  {escape(name)}",
                str(course.seed + 1),
                *(course_of(course.figures.get(each, ())) for each in shown),
            ]
            for name, course in self._in_order()
            if any(each in course.figures for each in shown)
        ]
        if rows:
            labels = [self.experiment.metrics[each].label or each for each in shown]
            parts.append(table(["", ">seed", *labels], rows))
        for name, course in self._in_order():
            if course.samples:  # of the first variant that has any
                parts += ["", Text(f"  text through training, {name}", style="quiet")]
                for step, text in course.samples[-SAMPLES:]:
                    parts.append(Text(f"  step {step:>3}  {text}", no_wrap=True, overflow="ellipsis"))
                break
        return Group(*parts)

    def _in_order(self) -> Iterable[tuple[str, Course]]:
        return [(name, self.courses[name]) for name in self.experiment.variants if name in self.courses]


def course_of(points: Sequence[tuple[int, float]]) -> str:
    """`0.22 ▁▃▅▇█ 0.62`: the first value, the way, and the last."""
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
