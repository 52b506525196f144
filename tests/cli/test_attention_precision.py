"""The experiment on the numbers of attention, through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Lab = Callable[..., CompletedProcess[str]]


@pytest.mark.slow
def test_the_quick_run_shows_saturation(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", "attention-precision", "--quick", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    json.loads(done.stdout)
    (run,) = tmp_path.glob("results/attention-precision/*")
    found = {
        path.parent.name: json.loads(path.read_text())["metrics"] for path in run.glob("trials/*/trial.json")
    }
    for seed in (0, 1):
        far, near = (found[f"train.{offset}-std-2.{seed}"]["relative"] for offset in (8, 4))
        assert far > 4 * near
    assert len(list(run.glob("plots/*.png"))) >= 4


def test_an_unknown_format_is_one_line(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", "attention-precision", "--quick", "-s", "kept=bfloat")
    assert done.returncode == 2 and "kept" in done.stderr and "Traceback" not in done.stderr
