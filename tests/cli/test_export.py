"""`lab export`, with and without the packages that it needs."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from forked_lab import LAB

from ..conftest import Lab


def test_without_the_extra_one_line_says_how_to_get_it(stored: Path, tmp_path: Path) -> None:
    absent = (
        "import sys; sys.modules.update(tensorboard=None, alembic=None)"  # as where they are not installed
    )
    (tmp_path / "sitecustomize.py").write_text(absent)
    for tool, package in (("tensorboard", "tensorboard"), ("mlflow", "alembic")):
        done = subprocess.run(  # a process that has imported nothing yet
            [LAB, "export", "learning", "--to", tool, "--results", stored],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2 and not done.stdout
        assert package in done.stderr and done.stderr.endswith("pip install 'paperlab[track]'\n")
        assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*/"))


def test_what_is_wrong_is_told(lab: Lab, stored: Path) -> None:
    assert lab("export", "learning", "--to", "wandb").stderr == "--to wandb: tensorboard or mlflow\n"
    assert lab("export", "learning").returncode == 2


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="there is no tensorboard here")
def test_a_run_is_exported_by_name_and_letters(lab: Lab, stored: Path, tmp_path: Path) -> None:
    asked = ("--to", "tensorboard", "--results", stored)
    done = lab("export", "learning", *asked, "--json")
    data = json.loads(done.stdout)
    assert done.returncode == 0 and list((tmp_path / data["written"]).rglob("events.out.tfevents.*"))
    again = lab("export", data["run"], *asked, "--out", "elsewhere")
    assert "tensorboard --logdir elsewhere" in again.stdout and (tmp_path / "elsewhere" / "learning").is_dir()
    wrong = lab("export", "lerning", *asked)
    assert wrong.returncode == 2 and wrong.stderr.endswith("Did you mean learning?\n")
