"""The view while a run works: what is done, what is left, the expected end, the newest figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..core.experiment.schema import Experiment
from ..core.run.estimate import seconds_left
from ..core.run.plan import Trial
from ..core.run.process import Job
from ..core.run.schedule import Event
from .screen import about, duration
from .tables import point_label
from .timing_view import TimingView
from .training_view import TrainingView

NAMES = {"compile": "compile", "check": "correct?", "peaks": "machine", "time": "time", "train": "training"}
LOADING = "loading torch, once for all trials: a few seconds"
EVERY = 10.0  # seconds between lines where there is no terminal to redraw


@dataclass
class LiveView:
    """Shows the events of the scheduler: drawn on a terminal, in plain lines elsewhere."""

    console: Console
    experiment: Experiment
    trials: Sequence[Trial]
    workers: int
    already: Mapping[str, float]  # key → seconds of what an earlier session has done
    expected: Mapping[tuple[str, str], float]  # seconds by kind and point, from the last run
    is_warm: bool = False  # torch is loaded
    started: float = field(default_factory=time.monotonic)
    ended: dict[str, float] = field(default_factory=dict)
    running: dict[str, tuple[Job, float, float]] = field(default_factory=dict)  # job, since when, share done
    compiling: dict[str, float] = field(default_factory=dict)  # key → seconds that it is expected to take
    kernels: int = 0  # to be compiled
    compiled: dict[str, tuple[int, int, str]] = field(
        default_factory=dict
    )  # key → done, of how many, the next
    notes: list[str] = field(default_factory=list)
    timings: TimingView = field(init=False)
    trainings: TrainingView = field(init=False)
    _live: Live | None = None
    _printed: float = 0.0
    _phases_printed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.timings, self.trainings = TimingView(self.experiment), TrainingView(self.experiment)

    def __enter__(self) -> Self:
        self.ended.update(self.already)
        self._printed = time.monotonic()
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        elif not self.is_warm and len(self.already) < len(self.trials):
            self.console.print(LOADING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
        else:
            self.console.print()

    def on_event(self, event: Event) -> None:
        key, now = event.job.trial.key, time.monotonic()
        if event.what == "started":
            self.running[key] = (event.job, now, 0.0)
        elif event.what == "compiling" and event.job.trial.kind == "compile":
            self.kernels, seconds, self.compiling = event.detail
            if self._live is None:
                self.console.print(f"{self._what_is_compiled()}: about {about(seconds)}")
        elif event.what == "progress" and event.job.trial.kind == "compile":
            self.compiled[key] = event.detail
        elif event.what == "progress":
            done, of, what = event.detail
            job, since, _ = self.running[key]
            self.running[key] = (job, since, done / of if of and not what else 0.0)
            if job.trial.kind == "train":
                self.trainings.progress(job, done, of, what)
        elif event.what == "metrics" and event.detail[1]:  # a point that all refused has none
            if event.job.trial.kind == "train":
                self.trainings.record(event.job, *event.detail)
            else:
                self.timings.record(event.job, event.detail[1])
        elif event.what == "sample":
            self.trainings.sample(event.job, *event.detail)
        elif event.what == "note":
            self.on_wait(f"{event.job.trial}: {event.detail[0]}")
        elif event.what == "ended":
            _, since, _ = self.running.pop(key)
            self.ended[key] = now - since
            if event.job.trial.kind == "compile":  # it leaves no result
                _, of, _ = self.compiled.get(key, (0, 0, ""))
                self.compiled[key] = of, of, ""
            else:
                self._end(event.job)
        if self._live is None:
            self._write_lines(now)

    def _end(self, job: Job) -> None:
        result = _result(job)
        if job.trial.kind == "train":
            self.trainings.end(job, result["status"])
        self._print_failure(job, result)

    def on_wait(self, message: str) -> None:
        """Print what the run waits for."""
        self.console.print(escape(message))

    def _print_failure(self, job: Job, result: Mapping[str, Any]) -> None:
        """Failures are shown at once, not at the end."""
        if result["status"] in ("wrong", "failed", "timeout"):
            text = f"{job.trial}: {result['status']}: {result['reason']}"
            if text.partition(":")[2] not in (note.partition(":")[2] for note in self.notes):
                self.notes.append(text)
                if self._live is None:
                    self.console.print(escape(text), soft_wrap=True)

    def left(self) -> float | None:
        running = {key: time.monotonic() - since for key, (_, since, _) in self.running.items()}
        # Of what is not known yet: its samples, and as long again for the warm-up.
        timing = 2 * self.experiment.sample_seconds + 0.5
        return seconds_left(
            self.trials, self.ended, running, self.expected, self.workers, self.compiling, timing
        )

    def _what_is_compiled(self) -> str:
        several = f"{self.kernels} kernels" if self.kernels > 1 else "a kernel"
        return f"compiling {several}, once on this machine"

    def _now(self) -> str:
        """What is being waited for; of trainings their own view says it."""
        words = []
        for key, (job, _, _) in self.running.items():
            trial = job.trial
            point = point_label(self.experiment, dict(trial.point))
            if trial.kind == "compile" and self.compiled.get(key, (0, 0, ""))[2]:
                words.append(f"compiling {self.compiled[key][2]}")
            elif trial.kind == "check":
                words.append(f"checking {trial.variant} {point}")
            elif trial.kind == "peaks":
                words.append("measuring the machine")
            elif trial.kind == "time":
                words.append(f"timing {point}, {trial.replicate + 1} of {self.experiment.replicates}")
        return " · ".join(words)

    def _phases(self) -> dict[str, tuple[int, int]]:
        counts: dict[str, tuple[int, int]] = {}
        if self.kernels:
            counts["compile"] = sum(done for done, _, _ in self.compiled.values()), self.kernels
        for trial in self.trials:
            done, of = counts.get(trial.kind, (0, 0))
            counts[trial.kind] = (done + (trial.key in self.ended), of + 1)
        return counts

    def _ending(self) -> str:
        left = self.left()
        spent = duration(time.monotonic() - self.started)
        return spent if left is None else f"{spent}, about {about(left)} left"

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 2))
        has_ending = False
        for kind, (done, of) in self._phases().items():
            if done == of:
                rows.add_row(f"  {NAMES[kind]}", Text("done", style="good"), f"{of} of {of}", "")
            elif done or any(job.trial.kind == kind for job, _, _ in self.running.values()):
                share = sum(part for job, _, part in self.running.values() if job.trial.kind == kind)
                bar = ProgressBar(total=of, completed=done + share, width=26)
                rows.add_row(f"  {NAMES[kind]}", bar, f"{done} of {of}", "" if has_ending else self._ending())
                has_ending = True
            else:
                rows.add_row(f"  {NAMES[kind]}", Text("to do", style="quiet"), f"{of}", "")
        parts: list[RenderableType] = [rows]
        if now := self._now():
            parts.append(Text(f"  {now}", style="quiet", no_wrap=True, overflow="ellipsis"))
        if not self.running and not self.ended:
            parts.insert(0, Text(f"  {LOADING}", style="quiet"))
        for note in self.notes[-3:]:
            parts.append(Text(f"  {note}", style="bad", no_wrap=True, overflow="ellipsis"))
        if self.timings.seconds:
            parts += ["", self.timings]
        if self.trainings.trainings:
            parts += ["", self.trainings]
        parts.append(Text("Ctrl-C keeps what is done; --resume goes on later", style="quiet"))
        return Group(*parts)

    def _write_lines(self, now: float) -> None:
        for kind, (done, of) in self._phases().items():
            if done == of and kind not in self._phases_printed:
                self._phases_printed.add(kind)
                self.console.print(f"{NAMES[kind]} done, {of} of {of}, {duration(now - self.started)}")
                self._printed = now
        if now - self._printed > EVERY:
            self._printed = now
            done, of = len([trial for trial in self.trials if trial.key in self.ended]), len(self.trials)
            now_at = f"; {words}" if (words := self._now()) else ""
            self.console.print(escape(f"{done} of {of} trials, {self._ending()}{now_at}"))


def _result(job: Job) -> Mapping[str, Any]:
    """What a trial left behind; one without a file is seen by whoever reads the run."""
    from ..core.run.files import read_json

    path = Path(job.folder) / "trial.json"
    return read_json(path) if path.exists() else {"status": "ok"}
