"""A run in other tools' formats, read back by those tools."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lab.core.results import RunResults, load
from lab.core.tracking import replicates, to_mlflow, to_tensorboard

has_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="there is no tensorboard here")
has_mlflow = pytest.mark.skipif(
    None in map(find_spec, ("mlflow", "sqlalchemy", "alembic")), reason="there is no mlflow with a store here"
)


@pytest.fixture
def trained(stored: Path) -> RunResults:
    return load("learning", stored)


@pytest.fixture
def timed(stored: Path) -> RunResults:
    return load("known", stored)


def test_every_replicate_has_its_parameters_figures_and_curves(
    trained: RunResults, timed: RunResults
) -> None:
    found = {(one.variant, one.number): one for one in replicates(trained)}
    assert set(found) == {(variant, seed) for variant in ("control", "plain") for seed in range(3)}
    plain = found["plain", 1]
    assert plain.params["rate"] == 0.1 and found["control", 0].params["rate"] == 0.0
    assert plain.metrics["final"] == pytest.approx(0.51)
    assert plain.curves["loss"] == [(step, pytest.approx(1.1 * 0.5**step)) for step in range(6)]
    of_times = list(replicates(timed))
    assert not any("again" in one.variant for one in of_times) and not any(one.curves for one in of_times)
    twice = next(one for one in of_times if (one.variant, one.point["size"], one.number) == ("twice", 4, 0))
    assert twice.params["factor"] == 0.5 and twice.metrics["time"] == pytest.approx(2.0)
    assert twice.name == "twice size=4 #0"


def events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return read


@has_tensorboard
def test_tensorboard_reads_curves_figures_claims_and_plots(trained: RunResults, tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        whole = to_tensorboard(trained, tmp_path)
    assert whole == tmp_path / "learning" / trained.folder.name
    plain = events(whole / "plain #1")
    assert [(event.step, event.value) for event in plain.Scalars("loss")] == [
        (step, pytest.approx(1.1 * 0.5**step, rel=1e-6)) for step in range(6)
    ]
    assert [event.value for event in plain.Scalars("final/final")] == [pytest.approx(0.51)]
    assert params_of(plain).items() >= {"variant": "plain", "rate": 0.1}.items()
    run = events(whole)
    texts = set(run.Tags()["tensors"])
    assert {f"claims/{claim}/text_summary" for claim in ("learns", "falls", "of-diverging")} <= texts
    (said,) = run.Tensors("claims/falls/text_summary")
    assert "Its loss falls from step to step." in said.tensor_proto.string_val[0].decode()
    (image,) = run.Images(f"plots/{trained.plots[0]}")
    assert image.encoded_image_string.startswith(b"\x89PNG") and image.width > 300


def params_of(read: Any) -> dict[str, Any]:
    """The hyperparameters as TensorBoard's plugin reads them."""
    from tensorboard.plugins.hparams import metadata

    content = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    info = metadata.parse_session_start_info_plugin_data(content)
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


@has_tensorboard
def test_tensorboard_gets_a_timing_run_too(timed: RunResults, tmp_path: Path) -> None:
    whole = to_tensorboard(timed, tmp_path)
    assert [event.value for event in events(whole / "twice size=4 #0").Scalars("final/time")] == [
        pytest.approx(2.0)
    ]
    assert params_of(events(whole / "twice size=4 #0"))["size"] == 4


@has_mlflow
def test_mlflow_reads_it_from_its_store(trained: RunResults, tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        store = to_mlflow(trained, tmp_path / "out")
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("learning")
    every = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert len(every) == 1 + len(list(replicates(trained)))
    parent, plain = every[f"learning {trained.id}"], every["plain #1"]
    assert plain.data.tags["mlflow.parentRunId"] == parent.info.run_id and plain.info.status == "FINISHED"
    assert plain.data.params["rate"] == "0.1" and plain.data.params["replicate"] == "1"
    assert plain.data.metrics["final"] == pytest.approx(0.51)
    curve = {metric.step: metric.value for metric in client.get_metric_history(plain.info.run_id, "loss")}
    assert curve == {step: pytest.approx(1.1 * 0.5**step) for step in range(6)}
    words = trained.claims.set_index("claim").word.to_dict()
    assert {name: parent.data.tags[f"lab.claim.{name}"] for name in words} == words
    estimate = trained.claims.set_index("claim").estimate["learns"]
    assert math.isclose(parent.data.metrics["claim/learns"], estimate)
    assert parent.data.tags["mlflow.note.content"] == trained.summary
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"claims.csv", "comparison.csv", "plots"} <= files
    here = Path(
        client.download_artifacts(parent.info.run_id, f"plots/{trained.plots[0]}.png", str(tmp_path / "out"))
    )
    assert here.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}  # nothing beside what was asked for
