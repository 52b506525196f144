"""Predictions of experiment files, from the file to verdict, table and plot."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.core.analysis.comparison import compare
from lab.core.analysis.judge import judge
from lab.core.experiment.document import read
from lab.core.experiment.load import load, load_document, validate
from lab.core.experiment.mistakes import Mistakes
from lab.core.experiment.predictions import digests, predicted
from lab.core.experiment.request import Request
from lab.core.experiment.schema import Experiment
from lab.core.report.plot import draw
from lab.core.report.table import tables
from lab.core.report.words import measured_as

FOLDER = Path(__file__).parents[2] / "known"
LINE = "7 * size"


def experiment(value: float | str = "p * (1 - e)^k", **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "params": {"p": 0.5, "e": 0.1, "k": 1},
            "axes": {"k": [1, 2, 4]}, "variants": {"base": {}, "noisy": {"e": 0.2}, "other": {}}, "baseline": "base",
            "seeds": 6, "metrics": {"right": {"kind": "trained", "range": [0, 1]}, "time": {"unit": "ms", "kind": "timed"}},
            "plots": [{"x": "k", "y": "right"}, {"x": "variant", "y": "right", "where": {"k": 2}}],
            "predictions": [{"id": "all-steps", "says": "p(1-e)^k", "metric": "right", "of": ["base", "noisy"], "value": value}],
            "claims": [
                {"id": "as-predicted", "says": "s", "source": "ours", "expect": {"between": [-0.05, 0.05]},
                 "measure": {"deviation": "right", "of": "noisy", "over": "all-steps", "where": {"k": 2}}},
            ],
        } | changes
    )  # fmt: skip


def values(of: Experiment, metric: str = "right", off: float = 0.0) -> pd.DataFrame:
    """Six seeds of every variant: what is predicted, `off`, and a noise whose mean is nothing."""
    noise = 0.01 * np.array([-2, -1, 0, 0, 1, 2])
    return pd.DataFrame(
        {"variant": name, "k": k, "metric": metric, "replicate": seed, "value": right + off + noise[seed]}
        for name, e in (("base", 0.1), ("noisy", 0.2), ("other", 0.5))
        for k in (1, 2, 4)
        for right in [0.5 * (1 - e) ** k]
        for seed in range(6)
    )


def test_a_variant_and_a_point_replace_what_params_say() -> None:
    of = experiment()
    figures = [predicted(of.predictions[0], of, name, {"k": k}) for name in ("base", "noisy") for k in (1, 4)]
    assert figures == pytest.approx([0.45, 0.5 * 0.9**4, 0.4, 0.5 * 0.8**4])
    assert predicted(of.predictions[0], of, "base", {"k": None}) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("off", "word"), [(0.0, "holds"), (0.2, "fails here"), (-0.2, "fails here"), (0.05, "unclear")]
)
def test_the_deviation_is_the_figure_less_the_prediction(off: float, word: str) -> None:
    of = experiment()
    (verdict,) = judge(of, values(of, off=off))
    assert verdict.word == word and verdict.estimate == pytest.approx(off, abs=1e-12)
    assert verdict.here[0] == ("+" if off > 0 else "-" if off < 0 else verdict.here[0])
    assert measured_as(verdict) == "right: noisy − predicted at k = 2"


def test_times_less_a_prediction_have_an_interval_on_both_sides_of_nothing() -> None:
    timed = experiment(0.32)
    timed = timed.model_copy(
        update={
            "predictions": [timed.predictions[0].model_copy(update={"metric": "time"})],
            "claims": [
                timed.claims[0].model_copy(
                    update={"measure": timed.claims[0].measure.model_copy(update={"deviation": "time"})}
                )
            ],
        }
    )
    (verdict,) = judge(timed, values(timed, "time"))
    assert verdict.interval is not None and verdict.interval.excludes(0) is False and verdict.unit == "ms"
    assert verdict.interval.estimate == pytest.approx(0, abs=1e-12)


def test_tables_have_it_beside_the_figure_where_there_is_one() -> None:
    of = experiment()
    comparison = compare(of, values(of))
    at = comparison.set_index(["variant", "k"])["predicted"]
    assert at["noisy", 4] == pytest.approx(0.5 * 0.8**4) and math.isnan(at["other", 4])
    (table,) = tables(of, comparison)
    assert [column.name for column in table.metrics] == ["right", "predicted", "vs base"]
    shown = {(row.name, row.point[0].text): row.cells[1].text for row in table.tiers[0].rows}
    assert shown["base", "1"] == "0.45" and shown["other", "1"] == ""


def drawn(of: Experiment, which: int, seen: pd.DataFrame) -> dict[str, Any]:
    figure = draw(of.plots[which], of, compare(of, seen), [])
    marks = [*figure.axes[0].get_lines(), *figure.axes[0].collections]
    return {"predicted": [mark for mark in marks if mark.get_gid() == "predicted"],
            "words": "\n".join(text.get_text() for text in figure.texts)}  # fmt: skip


def test_a_line_is_drawn_for_each_variant_that_it_is_about_along_its_axis() -> None:
    of = experiment()
    found = drawn(of, 0, values(of))
    curves = [(line.get_xdata(), line.get_ydata()) for line in found["predicted"]]
    assert len(curves) == 2 and "predicted before the run: p(1-e)^k" in found["words"]
    for e, (x, y) in zip((0.1, 0.2), curves, strict=True):
        assert (x[0], x[-1]) == (1, 4) and np.allclose(y, 0.5 * (1 - e) ** np.array(x))


def test_it_is_drawn_before_anything_is_measured() -> None:
    of = experiment()
    seen = values(of)
    assert len(drawn(of, 0, seen[seen["variant"] == "other"])["predicted"]) == 2


def test_dots_have_a_stroke_where_they_were_predicted() -> None:
    of = experiment()
    strokes = drawn(of, 1, values(of))["predicted"]
    assert sorted(stroke.get_segments()[0][0][0] for stroke in strokes) == pytest.approx(
        [0.5 * 0.8**2, 0.5 * 0.9**2]
    )


def written(tmp_path: Path, value: str) -> Path:
    text = (FOLDER / "known.yaml").read_text()
    text = text.replace(
        "claims:",
        f"predictions:\n  - {{id: p, says: s, metric: steps, of: base, value: '{value}'}}\nclaims:",
        1,
    )
    (tmp_path / "known_trial.py").write_text((FOLDER / "known_trial.py").read_text())
    path = tmp_path / "it.yaml"
    path.write_text(text)
    return path


def test_a_mistake_stands_at_its_character(tmp_path: Path) -> None:
    path = written(tmp_path, "7 * size / (factor - 1)")
    with pytest.raises(Mistakes) as caught:
        validate(path)
    (mistake,) = caught.value.mistakes[:1]
    line = path.read_text().splitlines()[(mistake.position.line or 0) - 1]
    assert (
        line[(mistake.position.column or 0) - 1 :].startswith("/ (factor")
        and "divides by zero" in mistake.message
    )


def test_what_a_request_changes_is_checked_too(tmp_path: Path) -> None:
    path = written(tmp_path, "7 * size / (factor - 3)")
    assert validate(path)
    with pytest.raises(Mistakes, match="divides by zero"):
        load_document(read(path), Request(sets=("factor=3",)))


def test_a_digest_changes_with_what_is_predicted_and_with_nothing_else() -> None:
    first = digests(experiment())
    assert first == digests(experiment(title="Another")) and set(first) == {"all-steps"}
    assert first != digests(experiment("p * (1 - e)^(k + 1)"))


def test_a_run_keeps_the_digest(lab: Callable[..., Any], tmp_path: Path) -> None:
    path = written(tmp_path, LINE)
    done = lab("run", path, "--quick", "--variants", "base", "--json")
    assert done.returncode == 0, done.stderr
    import json

    [facts] = tmp_path.glob("results/known/*/run.json")
    assert json.loads(facts.read_text())["predictions"] == digests(load(str(path)).experiment)
