"""The wheel, in an environment of its own, used from a folder that has a `core` package of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MINE = """
import torch
from core.fast import row_max  # the user's own `core`, not lab's


def softmax(x, dim=-1):
    e = torch.exp(x - row_max(x, dim))
    return e / e.sum(dim, keepdim=True)


def wrong(x, dim=-1):
    return softmax(x, dim) * 1.01


def refusing(x, dim=-1):
    raise NotImplementedError("not on Sundays")
"""

YAML = """
name: mine
title: My own sums
question: Is my own sum right?
trial: ./mine_trial.py
axes: {size: [10]}
variants: {plain: {}, again: {}}
baseline: plain
repeats: 1
sample_seconds: 0.05
metrics:
  time: {unit: ms, better: lower, kind: timed}
  error: {better: lower, kind: counted}
claims:
  - {id: exact, says: My sum is exact., source: ours, measure: {value: error, of: again}, expect: {at_most: 0}}
summary: "{time: again / plain}"
"""

TRIAL = """
from core.fast import row_max
from lab.core.trial import Case
from lab.core.trial import Params as Base


class Params(Base):
    implementation: str = ""
    size: int = 10


def case(params, context):
    return Case(lambda: sum(range(params.size)), lambda: {"error": 0.0}, {})
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`lab` of the wheel; its dependencies are those of the tests' own environment."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    source = folder / "source"  # setuptools leaves build/ and *.egg-info where it builds
    for name in ("cli", "core", "experiments"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*build, "--wheel-dir", folder / "dist", source], check=True, timeout=120)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=60)
    packages = Path(
        sysconfig.get_path("purelib", "venv", {"base": folder / "venv", "platbase": folder / "venv"})
    )
    # Not the .pth files in there, one of which leads to the checkout: what a .pth adds to the path is only a folder.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    wheel = next((folder / "dist").glob("*.whl"))
    install = [sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python", "install"]
    subprocess.run(
        [*install, "--quiet", "--no-deps", "--no-index", "--ignore-installed", wheel], check=True, timeout=120
    )
    return folder / "venv" / "bin" / "lab"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with code of the user's own, in packages whose names are like lab's."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("")
    (tmp_path / "core" / "fast.py").write_text("def row_max(x, dim):\n    return x.amax(dim, keepdim=True)\n")
    (tmp_path / "cli.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "my_softmax.py").write_text(MINE)
    (tmp_path / "mine.yaml").write_text(YAML)
    (tmp_path / "mine_trial.py").write_text(TRIAL)
    return tmp_path


def run(lab: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [lab, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


def test_a_sample_lab_comes_from_the_wheel_with_all_its_files(installed: Path, home: Path) -> None:
    where = subprocess.run(
        [installed.parent / "python", "-c", "import lab.core, lab.cli; print(lab.core.__file__, lab.cli.__file__)"],
        cwd=home, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert all(Path(file).is_relative_to(installed.parents[1]) for file in where), where
    assert "softmax" in run(installed, home, "list").stdout
    assert run(installed, home, "validate", "softmax").returncode == 0


def test_a_softmax_of_ones_own_beside_the_built_in(installed: Path, home: Path) -> None:
    added = ("mine", "softmax"), ("off", "wrong"), ("sunday", "refusing")
    done = run(
        installed, home, "run", "softmax", *(part for name, f in added for part in ("--add", f"{name}=./my_softmax.py:{f}")),
        "--variants", "mine,off,sunday", "--repeats", "1",
        "-s", "columns=64", "-s", "sample_seconds=0.05", "-s", "checks.columns=64", "-s", "checks.dtype=float32", "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # one of them is wrong
    data = json.loads(done.stdout)
    assert "off: wrong" in done.stderr or "off wrong" in done.stderr or "wrong: off" in done.stderr
    folder = home / data["folder"]
    checked = {
        (trial := json.loads(path.read_text()))["variant"]: trial for path in folder.glob("trials/check.*/trial.json")
    }  # fmt: skip
    assert {name: trial["status"] for name, trial in checked.items()} == {
        "safe": "ok", "mine": "ok", "off": "wrong", "sunday": "refused",
    }  # fmt: skip
    assert "not on Sundays" in checked["sunday"]["reason"] and "allowed" in checked["off"]["reason"]
    timed = [json.loads(path.read_text())["samples"] for path in folder.glob("trials/time.*/trial.json")]
    assert [set(samples) for samples in timed] == [{"safe", "mine", "safe again"}], (
        "the wrong one is never timed"
    )
    assert str(home / "my_softmax.py") in json.loads((folder / "run.json").read_text())["files"]


@pytest.mark.slow
def test_verify_says_right_wrong_and_refused(installed: Path, home: Path) -> None:
    """Every shape and dtype, three times over."""
    right = run(installed, home, "verify", "softmax", "./my_softmax.py:softmax")
    assert right.returncode == 0 and "right" in right.stdout
    wrong = run(installed, home, "verify", "softmax", "./my_softmax.py:wrong")
    assert wrong.returncode == 4 and "WRONG" in wrong.stdout
    assert "error" in wrong.stdout and "allowed" in wrong.stdout and "--case 1" in wrong.stdout
    refused = run(installed, home, "verify", "softmax", "./my_softmax.py:refusing")
    assert "not on Sundays" in refused.stdout and "nothing was verified" in refused.stdout
    assert refused.returncode == 1


def test_verify_of_one_case(installed: Path, home: Path) -> None:
    wrong = run(installed, home, "verify", "softmax", "./my_softmax.py:wrong", "--case", "3", "--json")
    data = json.loads(wrong.stdout)
    assert wrong.returncode == 4 and data["wrong"] == 1
    assert data["cases"][0]["case_number"] == 3 and "allowed" in data["cases"][0]["reason"]
    assert run(installed, home, "verify", "softmax", "./my_softmax.py:softmax", "--case", "3").returncode == 0


def test_an_experiment_of_ones_own(installed: Path, home: Path) -> None:
    done = run(installed, home, "run", "./mine.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert [claim["word"] for claim in json.loads(done.stdout)["claims"]] == ["holds"]
