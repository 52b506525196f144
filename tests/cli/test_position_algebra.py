"""The experiment on the algebra of positions, through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Lab = Callable[..., CompletedProcess[str]]

MINE = """
import torch
from lab.core.position import Encoding

def encoding(sizes):
    return Encoding(added=lambda p: torch.full((*p.shape, sizes.d_model), 0.02))

def wrong(sizes):
    return {}
"""


def test_a_quick_run_beside_ones_own(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    done = lab(
        "run", "position-algebra", "--quick", "--json", "--add", "mine=./mine.py:encoding",
        "--add", "other=./mine.py:wrong",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = {each["claim"]: each["word"] for each in json.loads(done.stdout)["claims"]}
    assert verdicts["rope-relative"] == verdicts["bf16-same"] == verdicts["twins-identical"] == "holds"
    assert verdicts["sinusoids-come-back"] == verdicts["rope-comes-back"] == "fails here"
    (run,) = tmp_path.glob("results/position-algebra/*")
    trials = {path.parent.name: json.loads(path.read_text()) for path in run.glob("trials/*/trial.json")}
    mine = next(each["metrics"] for name, each in trials.items() if ".mine." in name)
    assert mine["moved_1000"] == mine["same"] == 0 and mine["size"] == pytest.approx(1)
    other = next(each for name, each in trials.items() if ".other." in name)
    assert other["status"] == "failed"
    assert other["reason"] == "EncodingError: wrong returned a dict, no lab.core.position.Encoding"
