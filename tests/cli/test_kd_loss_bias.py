"""The experiments on the bias of distillation losses, through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Lab = Callable[..., CompletedProcess[str]]


@pytest.mark.slow
def test_the_quick_run_tells_bias_from_noise(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", "kd-loss-bias", "--quick", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    json.loads(done.stdout)
    (run,) = tmp_path.glob("results/kd-loss-bias/*")
    found = {
        path.parent.name: json.loads(path.read_text())["metrics"] for path in run.glob("trials/*/trial.json")
    }
    assert len(found) == 24

    def mean(metric: str, variant: str, tokens: int) -> float:
        values = [found[f"train.{variant}.tokens={tokens}.{seed}"][metric] for seed in (0, 1)]
        return sum(values) / len(values)

    assert mean("pull", "forward-kl", 8192) == mean("bias", "forward-kl", 8192) == 0
    assert mean("bias", "argmax", 8192) > mean("bias", "top-12", 8192) > mean("bias", "top-50", 8192) > 0
    assert abs(mean("angle", "top-12", 8192) / mean("angle", "top-12", 1024) - 1) < 0.1
    assert mean("angle", "sampled-50", 8192) < 0.7 * mean("angle", "sampled-50", 1024)


def test_more_kept_tokens_than_there_are_is_one_line(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", "kd-loss-bias", "--quick", "--variants", "top-50", "-s", "k=0")
    assert done.returncode == 2 and "k" in done.stderr and "Traceback" not in done.stderr
