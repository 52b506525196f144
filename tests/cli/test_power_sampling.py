"""The real samplers through the real command line: killed or not, the same figures; what is refused, in a line."""

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

SMALL = Path(__file__).parents[1] / "known" / "small-power-sampling.yaml"
LAB = Path(sys.executable).parent / "lab"


def lab(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return forked_lab.lab(folder, *arguments, LAB_CACHE=str(folder / "cache"))


def metrics(folder: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text())["metrics"]
        for path in folder.glob("results/small-power-sampling/*/trials/*/trial.json")
    }


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    assert lab(whole, "run", SMALL, "--workers", "1").returncode == 0
    shutil.copytree(whole / "cache", killed / "cache")  # bases, so that it answers at once
    started = subprocess.Popen(
        [LAB, "run", SMALL, "--workers", "1"],
        cwd=killed,
        env=os.environ | {"LAB_CACHE": str(killed / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 100
    while not metrics(killed):
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    time.sleep(0.5)  # trials follow their runner
    assert len(metrics(killed)) < 8, "killed too late to show anything"
    assert lab(killed, "run", SMALL, "--resume").returncode == 0
    found = metrics(killed)
    assert len(found) == 8 and found == metrics(whole)
    sampled, trained = (found[f"train.{name}.alpha=1.0"] for name in ("sample", "grpo"))
    assert sampled != trained


@pytest.mark.parametrize(
    "change, message",
    [
        ("alpha=0,2", "greater than 0"),
        ("n=0", "greater than or equal to 1"),
    ],
)
def test_what_means_nothing_is_refused_in_a_line(tmp_path: Path, change: str, message: str) -> None:
    done = lab(tmp_path, "run", SMALL, "-s", change, "--dry-run")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in " ".join((done.stdout + done.stderr).split())
