"""The experiment on the bias of on-policy distillation, through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Lab = Callable[..., CompletedProcess[str]]


def test_a_quick_run_has_the_identities(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", "on-policy-bias", "--quick", "--json", "-s", "length=1,3")
    assert done.returncode == 0, done.stdout + done.stderr
    json.loads(done.stdout)
    (run,) = tmp_path.glob("results/on-policy-bias/*")
    found = {
        path.parent.name: json.loads(path.read_text())["metrics"] for path in run.glob("trials/*/trial.json")
    }
    assert len(found) == 20
    for seed in (0, 1):
        at = {
            (variant, length): found[f"train.{variant}.length={length}.{seed}"]
            for variant in ("full", "token", "token-baseline", "half-return", "return")
            for length in (1, 3)
        }
        assert all(each["bias"] == 0 for (_, length), each in at.items() if length == 1)
        assert at["full", 3]["bias"] == at["token", 3]["bias"] > at["half-return", 3]["bias"] > 0
        assert at["return", 3]["bias"] == 0
        assert at["full", 3]["variance"] < at["token", 3]["variance"]


def test_too_many_sequences_are_one_line(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", "on-policy-bias", "--quick", "--variants", "token", "-s", "length=12")
    assert "3^12 sequences are too many to list" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
