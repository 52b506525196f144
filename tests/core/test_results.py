"""`load`: a run as frames of fixed columns and dtypes, and as figures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from lab.core.results import RunResults, load
from lab.core.run.folder import newest

AXES = {"size": "int64"}
CURVES = {"variant": "string", "metric": "string", "replicate": "int64", "step": "int64", "value": "float64"}
COMPARISON = {
    "variant": "string", "metric": "string", "tier": "string", "baseline": "string", "kind": "string", "unit": "string",
    "estimate": "float64", "low": "float64", "high": "float64", "n": "int64", "spread": "float64",
    "ratio": "float64", "ratio_low": "float64", "ratio_high": "float64",
    "change": "float64", "change_low": "float64", "change_high": "float64",
    "difference": "string", "predicted": "float64", "best": "bool", "status": "string", "reason": "string", "kernel": "string",
}  # fmt: skip
CLAIMS = {
    "claim": "string", "says": "string", "source": "string", "paper": "object", "threshold": "string",
    "letter": "string", "measure": "string", "metric": "string", "variants": "string", "place": "string",
    "expected": "string", "needs": "string", "estimate": "float64", "low": "float64", "high": "float64", "level": "float64",
    "unit": "string", "replicates": "int64", "here": "string", "word": "string", "detail": "string", "more": "Int64",
    "holds_for": "string", "differences": "string", "note": "string",
}  # fmt: skip


def dtypes(table: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in table.dtypes.items()}


def with_axes(columns: dict[str, str], axes: dict[str, str]) -> dict[str, str]:
    return {"variant": "string"} | axes | columns


@pytest.fixture
def timed(stored: Path) -> RunResults:
    return load("known", stored)


@pytest.fixture
def trained(stored: Path) -> RunResults:
    return load("learning", stored)


def test_columns_and_dtypes_are_those_that_are_documented(timed: RunResults, trained: RunResults) -> None:
    metrics = {"variant": "string", **AXES, "replicate": "int64"}
    metrics |= dict.fromkeys(("time", "error", "steps", "throughput"), "float64")
    assert dtypes(timed.metrics) == metrics
    assert list(trained.metrics) == ["variant", "replicate", "loss", "final", "start", "resumed"]
    assert dtypes(trained.curves) == CURVES and dtypes(timed.curves) == with_axes(CURVES, AXES)
    assert (
        dtypes(timed.comparison) == with_axes(COMPARISON, AXES) and dtypes(trained.comparison) == COMPARISON
    )
    assert dtypes(timed.claims) == dtypes(trained.claims) == CLAIMS


def test_the_tables_hold_the_known_figures(timed: RunResults, trained: RunResults) -> None:
    of = timed.metrics.set_index(["variant", "size", "replicate"])
    assert of.loc[("twice", 4, 0), "time"] == pytest.approx(2.0) and of.loc[("base", 4, 0), "steps"] == 28
    assert len(timed.curves) == 0 and len(trained.curves) == 6 * 2 * 3  # steps, variants, seeds
    assert trained.curves.query(
        "variant == 'plain' and step == 2 and replicate == 1"
    ).value.item() == pytest.approx(0.275)
    ratio = timed.comparison.query("variant == 'twice' and metric == 'time' and size == 4").ratio.item()
    assert ratio == pytest.approx(0.5)
    assert timed.claims.set_index("claim").word.to_dict()["linear"] == "holds"
    assert timed.claims.paper[0] == 2 and repr(timed) == f"run {timed.id} of known: 2 hold, 1 not tested"


def test_dtypes_stay_where_nothing_has_been_measured(stored: Path, tmp_path: Path) -> None:
    for name in ("known", "learning"):
        copied = shutil.copytree(stored / name, tmp_path / name)
        for trial in copied.glob("*/trials/*"):
            shutil.rmtree(trial)
    timed, trained = load("known", tmp_path), load("learning", tmp_path)
    assert len(timed.metrics) == len(trained.curves) == 0
    assert dtypes(timed.metrics)["size"] == "int64" and dtypes(trained.curves) == CURVES
    assert dtypes(timed.claims) == CLAIMS


def test_a_run_is_found_by_name_letters_and_folder(
    stored: Path, monkeypatch: pytest.MonkeyPatch, timed: RunResults
) -> None:
    run = newest(stored, "known")
    assert run is not None
    for name in (run.id, run.folder, str(run.folder), run.folder.name):
        assert load(name, stored).folder == timed.folder
    monkeypatch.chdir(stored.parent)
    assert load("known").id == run.id
    monkeypatch.chdir("/")
    monkeypatch.setenv("LAB_RESULTS", str(stored))
    assert load("known").id == run.id


def test_a_full_run_stands_before_a_newer_quick_one(stored: Path, tmp_path: Path) -> None:
    known = shutil.copytree(stored / "known", tmp_path / "known")
    (full,) = known.iterdir()
    quick = shutil.copytree(full, known / "20991231T000000Z-zzzz")
    file = quick / "run.json"
    file.write_text(file.read_text().replace('"full": true', '"full": false'))
    assert load("known", tmp_path).id == full.name[-4:] and load("zzzz", tmp_path).id == "zzzz"


def test_what_is_not_there_is_told_with_the_nearest_name(stored: Path, tmp_path: Path) -> None:
    run = newest(stored, "known")
    assert run is not None
    for name, message in (
        ("knwon", "Did you mean known?"),
        ("nothing-like-it", "There is: known, learning"),
        (run.folder.with_name(run.folder.name[:-1] + "_"), f"Did you mean {run.folder.name}?"),
    ):
        with pytest.raises(FileNotFoundError) as error:
            load(name, stored)
        assert message in str(error.value)
    with pytest.raises(FileNotFoundError, match="to make one: lab run known"):
        load("known", tmp_path)


def test_letters_of_two_runs_and_damaged_files_are_refused(stored: Path, tmp_path: Path) -> None:
    results = shutil.copytree(stored, tmp_path / "results")
    run, other = newest(results, "known"), newest(results, "learning")
    assert run is not None and other is not None
    other.folder.rename(other.folder.with_name(f"20990101T000000Z-{run.id}"))
    with pytest.raises(ValueError, match=f"two runs are called {run.id}; name a folder"):
        load(run.id, results)
    (run.folder / "experiment.yaml").write_text("name: [")
    with pytest.raises(ValueError, match="experiment.yaml is damaged"):
        load("known", results)


def test_plots_are_figures_that_a_notebook_shows(timed: RunResults) -> None:
    from matplotlib.figure import Figure

    assert timed.plots == ["time-by-size", "time-baseline-by-size", "steps-by-variant"]
    figure = timed.plot("time-by-size")
    assert isinstance(figure, Figure) and figure.axes
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"has no plot time-by-sise\. Did you mean time-by-size\?"):
        timed.plot("time-by-sise")


def test_nothing_is_written(stored: Path, tmp_path: Path) -> None:
    results = shutil.copytree(stored, tmp_path / "results")
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    run = load("known", results)
    assert len(run.metrics) and len(run.comparison) and run.plot(run.plots[0])
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
