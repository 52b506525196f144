"""What a training shows while it runs: its task, what it does now, its curves, and means over finished seeds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lab.cli.screen import THEME
from lab.cli.training_view import WIDTH, TrainingView, bars, sparkline, with_mean
from lab.core.experiment.load import load

LEARNING = Path(__file__).parents[1] / "known" / "learning.yaml"


def job(variant: str, seed: int) -> Any:
    return SimpleNamespace(
        trial=SimpleNamespace(variant=variant, replicate=seed, point=(), key=f"train.{variant}.{seed}")
    )


def shown(view: TrainingView, width: int = 80, height: int = 40) -> str:
    console = Console(width=width, height=height, force_terminal=False, theme=THEME)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_a_sparkline_has_its_first_and_last_value_and_the_way_between():
    assert sparkline([(0, 0.22), (10, 0.4), (20, 0.62)]) == "0.22 ▁▄█ 0.62"
    assert sparkline([]) == "" and sparkline([(0, 0.5)]) == "0.5"
    assert sparkline([(0, 3.0), (1, 3.0)]) == "3 ▁▁ 3"
    long = bars([(step, float(step)) for step in range(100)])
    assert long.startswith("▁") and long.endswith("█") and len(long) == WIDTH


def test_behind_finished_seeds_stands_their_mean_with_its_spread():
    curve = [(0, 0.2), (1, 0.6)]
    assert with_mean(curve, []) == "0.2 ▁█ 0.6"
    assert with_mean(curve, [0.6]) == "▁█ 0.6"
    assert with_mean(curve, [0.5, 0.7]) == "▁█ 0.6 ±0.14"


def test_a_metric_of_two_plots_has_one_column_and_seeds_are_counted_as_they_end():
    experiment = load(str(LEARNING)).experiment
    plots = [plot for plot in experiment.plots if plot.x == "step"]
    view = TrainingView(experiment.model_copy(update={"plots": plots * 2}))
    variant, metric = next(iter(experiment.variants)), plots[0].y
    for seed, end in ((0, 0.5), (1, 0.7)):
        view.record(job(variant, seed), 0, {metric: 1.0})
        view.record(job(variant, seed), 1, {metric: end})
        view.progress(job(variant, seed), 1, 2, "")
        assert "now" in shown(view) and f"seed {seed + 1}: step 1 of 2" in shown(view)
        view.end(job(variant, seed), "ok")
    text = shown(view)
    assert text.count(experiment.metrics[metric].label or metric) == 1
    assert f"2 of {experiment.replicates}" in text and "0.6 ±0.14" in text and "now" not in text
    view.record(job(variant, 2), 0, {metric: 9.0})
    view.end(job(variant, 2), "failed")
    assert "0.6 ±0.14" in shown(view), "a failed training is no seed"


def test_the_question_stays_while_answers_pass_by():
    view = TrainingView(load(str(LEARNING)).experiment)
    variant = next(iter(view.experiment.variants))
    for step in range(10):
        view.sample(job(variant, 0), step, "the question" if step == 0 else f"answer {step}")
    text = shown(view)
    assert "the question" in text and "answer 9" in text and "answer 3" not in text


def test_one_problem_stands_there_as_each_variant_answers_it_where_there_is_room():
    experiment = load(str(LEARNING)).experiment
    names = {f"variant-{i}": experiment.variants[experiment.baseline] for i in range(8)}
    view = TrainingView(experiment.model_copy(update={"variants": names}))
    metric = next(plot.y for plot in experiment.plots if plot.is_curve)
    for number, name in enumerate(names):
        view.record(job(name, 0), 0, {metric: 1.0})
        view.sample(job(name, 0), 0, "3+4= <answer>9</answer>  wrong")
        view.sample(job(name, 0), 5, f"3+4= <think>{'3+4=7,' * 20}</think><answer>{number}</answer>  right")
        view.sample(job(name, 0), 5, "1+1= rewards 1 0")
    text = shown(view)
    assert "the same problem, 3+4=" in text
    assert all(f"{name}  right  <think>3+4=7" in text for name in names)
    assert max(map(len, text.splitlines())) <= 80 and len(shown(view, height=24).splitlines()) <= 20


def test_a_short_terminal_gets_fewer_rows_and_a_narrow_one_fewer_columns():
    experiment = load(str(LEARNING)).experiment
    names = {f"variant-{i}": experiment.variants[experiment.baseline] for i in range(30)}
    view = TrainingView(experiment.model_copy(update={"variants": names}))
    metric = next(plot.y for plot in experiment.plots if plot.x == "step")
    for name in names:
        view.record(job(name, 0), 0, {metric: 1.0})
    assert "and 22 more" in shown(view, height=24)
    assert max(map(len, shown(view, width=40).splitlines())) <= 40


def test_two_seeds_of_a_variant_that_train_at_once_keep_their_own_curves():
    experiment = load(str(LEARNING)).experiment
    view = TrainingView(experiment)
    variant, metric = (
        next(iter(experiment.variants)),
        next(plot.y for plot in experiment.plots if plot.x == "step"),
    )
    for step in range(3):
        for seed in (0, 1):
            view.sample(job(variant, seed), step, f"sample {step} of seed {seed}")
            view.record(job(variant, seed), step, {metric: float(step + 10 * seed)})
    assert "0 ▁▅█ 2" in shown(view) and "sample 2 of seed 0" in shown(view) and "of seed 1" not in shown(view)
    view.end(job(variant, 0), "ok")
    assert "▁▅█ 2" in shown(view) and "sample 0 of seed 1" in shown(view)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_that_diverges_does_not_end_the_view(value: float):
    experiment = load(str(LEARNING)).experiment
    variant, metric = (
        next(iter(experiment.variants)),
        next(plot.y for plot in experiment.plots if plot.x == "step"),
    )
    view = TrainingView(experiment)
    for seed in range(3):
        for step, each in enumerate((0.5, 0.6, value)):
            view.record(job(variant, seed), step, {metric: each})
        assert "▁█" in shown(view)
        view.end(job(variant, seed), "ok")
    assert "3 of 3" in shown(view)
