"""The real trainer through the real command line: whatever the workers, and killed or not, the same figures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked_lab
import pytest

SMALL = Path(__file__).parents[1] / "known" / "small-grpo.yaml"
LAB = Path(sys.executable).parent / "lab"


def lab(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return forked_lab.lab(folder, *arguments, LAB_CACHE=forked_lab.own_cache(folder))


def run_in(folder: Path) -> Path:
    return next(folder.glob("results/small-grpo/*"))


def metrics(run: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text())["metrics"] for path in run.glob("trials/*/trial.json")
    }


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpo")
    done = lab(folder, "run", SMALL, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    return run_in(folder)


@pytest.mark.slow
def test_two_workers_train_the_same(one_worker: Path, tmp_path: Path) -> None:
    assert lab(tmp_path, "run", SMALL, "--workers", "2").returncode == 0
    found = metrics(run_in(tmp_path))
    assert len(found) == 4 and found == metrics(one_worker)
    assert found["train.paid.0"] != found["train.random.0"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_it_goes_on_to_the_same_figures(one_worker: Path, tmp_path: Path, workers: str) -> None:
    environment = os.environ | {"LAB_CACHE": str(tmp_path / "cache")}
    # Bases, so that it trains at once.
    shutil.copytree(one_worker.parents[2] / "cache", tmp_path / "cache", symlinks=True)
    started = subprocess.Popen(
        [LAB, "run", SMALL, "--workers", workers],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 100
    while not list(tmp_path.glob("results/small-grpo/*/trials/train.*/checkpoint/state.pt")):
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    time.sleep(0.5)  # trials follow their runner
    assert len(metrics(run_in(tmp_path))) < 4, "killed too late to show anything"
    assert lab(tmp_path, "run", SMALL, "--resume", "--workers", workers).returncode == 0
    assert metrics(run_in(tmp_path)) == metrics(one_worker)


@pytest.fixture(scope="module")
def own_rewards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is paid by a user's functions, of which one gives no score."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(
        "def long(problems, completions): return [len(text) for text in completions]\n"
        "def broken(problems, completions): return [None] * len(completions)\n"
    )
    rewards = ("-s", "paid.reward=./mine.py:long", "-s", "random.reward=./mine.py:broken")
    done = lab(folder, "run", SMALL, "--seeds", "1", *rewards)
    assert done.returncode == 1, done.stdout + done.stderr
    return folder


def test_a_users_reward_and_its_mistakes(own_rewards: Path) -> None:
    [paid, broken] = [
        json.loads((run_in(own_rewards) / "trials" / f"train.{name}.0" / "trial.json").read_text())
        for name in ("paid", "random")
    ]
    assert paid["status"] == "ok", paid["reason"]
    assert broken["status"] == "failed" and "gave no score (None or NaN)" in broken["reason"]


def test_the_answers_are_in_the_report(own_rewards: Path) -> None:
    assert lab(own_rewards, "report").returncode == 0
    page = (own_rewards / "results" / "report.html").read_text()
    assert "Text through training" in page and "(base model, 60 of 60)" in page
    assert "&lt;answer&gt;" in page and "-&gt; advantages" in page
    assert "Text of paid through training" in (own_rewards / "results" / "report.md").read_text()
