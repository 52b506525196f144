"""What a run shows while it compiles, checks and times."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lab.cli.live_view import LiveView
from lab.cli.screen import THEME
from lab.core.experiment.load import load
from lab.core.run.plan import Trial, plan
from lab.core.run.process import Job
from lab.core.run.schedule import Event

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"


def job(trial: Trial) -> Job:
    return Job(trial, "", "", "nowhere", {}, (), "cpu", 1, 0.1)


def test_it_says_what_is_being_waited_for() -> None:
    experiment = (loaded := load(str(KNOWN))).experiment
    console = Console(width=100, force_terminal=False, theme=THEME)

    def shown() -> str:
        with console.capture() as capture:
            console.print(view.__rich__())
        return capture.get()

    trials = plan(loaded)
    view = LiveView(console, experiment, trials, 2, {}, {})
    code = job(Trial("compile", "x", {}, 0, "compile.x"))
    check = job(next(trial for trial in trials if trial.kind == "check"))
    with console.capture() as capture:
        for event in (
            Event("started", code),
            Event("compiling", code, (3, 12.4, {"compile.x": 20.0})),
            Event("progress", code, (1, 3, "attention backward")),
            Event("started", check),
        ):
            view.on_event(event)
    assert "compiling 3 kernels, once on this machine: about 12 s" in capture.get()
    assert "compiling attention backward · checking base" in shown() and "1 of 3" in shown()
    with console.capture():
        view.on_event(Event("ended", code))
        view.on_event(Event("ended", check))
    assert "compile" in shown() and "3 of 3" in shown() and "compiling" not in shown()
    timing = job(next(trial for trial in trials if trial.kind == "time"))
    with console.capture():
        view.on_event(Event("started", timing))
    assert f"timing size={timing.trial.point['size']}, 1 of {experiment.replicates}" in shown()
    assert view.left() is not None
