"""What `lab new` writes runs at once."""

from __future__ import annotations

import json
from pathlib import Path

from lab.core.experiment.discovery import BUILT_IN
from lab.core.experiment.load import load

from ..conftest import Lab


def test_a_training_trial_of_ones_own_runs(lab: Lab, tmp_path: Path) -> None:
    assert lab("new", "my-training", "--training").returncode == 0
    done = lab(
        "run", "my-training", "--quick", "--seeds", "1", "-s", "condition=10", "-s", "steps=110", "--json"
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["counts"]["ok"] == data["counts"]["planned"] == 2
    figures = {(row["variant"], row["metric"]): row["estimate"] for row in data["comparison"]}
    assert 0 < figures["momentum", "distance"] < figures["plain", "distance"]
    curves = (Path(tmp_path, data["folder"]) / "curves.csv").read_text()
    assert "plain,10,loss,0,110," in curves


def test_a_copy_of_a_built_in_experiment_has_its_comments_and_another_name(lab: Lab, tmp_path: Path) -> None:
    assert lab("new", "my-grpo", "--from", "grpo").returncode == 0
    copy, original = (
        (tmp_path / "experiments" / "my-grpo.yaml").read_bytes(),
        (BUILT_IN / "grpo.yaml").read_bytes(),
    )
    assert copy != original and b"lab run my-grpo --quick" in copy
    assert copy.replace(b"my-grpo", b"grpo") == original
    assert load(str(tmp_path / "experiments" / "my-grpo.yaml")).experiment.name == "my-grpo"
    assert lab("show", "my-grpo").returncode == 0


def test_new_refuses_what_it_cannot_write(lab: Lab, tmp_path: Path) -> None:
    for arguments, message in (
        (["x", "--from", "gpro"], "Did you mean grpo?"),
        (["x", "--from", "grpo", "--training"], "choose one of the two"),
        (["X"], "small letters"),
    ):
        done = lab("new", *arguments)
        assert done.returncode == 2 and message in done.stderr and not done.stdout
    assert not (tmp_path / "experiments").exists()
    lab("new", "x", "--training")
    theirs = tmp_path / "experiments" / "x.yaml"
    assert "x.yaml is there already" in lab("new", "x", "--from", "grpo").stderr
    elsewhere = tmp_path / "else"
    elsewhere.mkdir()
    done = lab("new", "y", "--from", theirs, cwd=elsewhere)
    assert done.returncode == 2 and "names ./x_trial.py, which lies beside it" in done.stderr
