"""A user's model, task and rewards through the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "my_task.py"
Lab = Callable[..., subprocess.CompletedProcess[str]]

YAML = """
name: own
title: Of one's own
question: Are they trained, and told apart from others?
trial: grpo
params: {PARAMS, steps: 2, num_prompts: 4, num_generations: 4, eval_every: 2, eval_problems: 4, eval_samples: 4}
variants: {paid: {reward: "accuracy+0.5*./mine.py:short+./mine.py:ones"}}
baseline: paid
seeds: 1
metrics: {reward: {kind: trained}, base/rejected: {kind: trained}}
"""
MINE = """
def short(problems, texts): return [-len(text) for text in texts]
def ones(problems, texts): return [float(text.count("1")) for text in texts]
"""
OF_MODEL = "model: {hf: ./tiny}, structure: z2, base_depth: [1, 2], train_depth: [1, 3], harder_depth: [4, 5]"
OF_TASK = (
    "task: './my_task.py:largest', base_depth: [1, 2], train_depth: [1, 3], harder_depth: [4, 5], d_model: 16, layers: 1,"
    "heads: 2, kv_heads: 1, d_ff: 16, base_steps: 20, base_batch: 16, demonstrations: 200"
)


def written(folder: Path, params: str) -> Path:
    """The experiment in a folder that is not the one that `lab` is called from."""
    (folder / "mine.py").write_text(MINE)
    (folder / "own.yaml").write_text(YAML.replace("PARAMS", params))
    return folder / "own.yaml"


def trials(folder: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text())
        for path in folder.glob("results/own/*/trials/*/trial.json")
    }


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def test_a_users_model_is_trained_resumed_and_distinguished_from_a_changed_one(
    tmp_path: Path, there: Path, lab: Lab, save_llama: Callable[..., Path]
) -> None:
    model = save_llama(there / "tiny")
    experiment = written(there, OF_MODEL)
    done = lab("run", experiment, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    first = trials(tmp_path)["train.paid.0"]
    assert first["status"] == "ok" and first["metrics"]["base/rejected"] == 0
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["numba"]
    [records] = tmp_path.glob("results/own/*/trials/train.paid.0/records.jsonl")
    step = next(row for row in map(json.loads, records.read_text().splitlines()) if "reward" in row)
    parts = {name: step[f"rewards/{name}/mean"] for name in ("accuracy", "mine.py:short", "mine.py:ones")}
    paid = parts["accuracy"] + 0.5 * parts["mine.py:short"] + parts["mine.py:ones"]
    assert step["reward"] == pytest.approx(paid, abs=1e-5) and step["grad_norm"] > 0

    # What is done is taken from the results, and the rest goes on with the same model.
    done = lab("run", experiment, "--workers", "1", "--resume", "--seeds", "2")
    assert done.returncode == 0 and "1 of 2 trials are done already" in done.stdout, done.stdout + done.stderr
    both = trials(tmp_path)
    assert set(both) == {"train.paid.0", "train.paid.1"} and both["train.paid.0"] == first

    save_llama(model, context=64)
    done = lab("run", experiment, "--resume", "--seeds", "3")
    assert done.returncode == 2 and "tiny has changed since run" in done.stderr, done.stderr
    shutil.rmtree(model)
    for command in (("validate", experiment), ("run", experiment)):
        done = lab(*command)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "there/own.yaml:6:18: no such file or folder: ./tiny" in done.stderr, done.stderr
    assert trials(tmp_path) == both


def test_a_users_task_is_trained_on_and_its_mistakes_are_reported(
    tmp_path: Path, there: Path, lab: Lab
) -> None:
    shutil.copy(EXAMPLE, there)
    experiment = written(there, OF_TASK)
    done = lab("run", experiment, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = tmp_path.glob("results/own/*/run.json")
    assert {Path(file).name for file in json.loads(run.read_text())["files"]} == {"mine.py", "my_task.py"}
    for wrong, message in {
        "./my_tsak.py:largest": "there/own.yaml:6:10: no such file: ./my_tsak.py",
        "./my_task.py:largets": "there/own.yaml:6:10: ./my_task.py has no largets. Did you mean largest?",
        "./mine.py:none": "there/own.yaml:6:1: ./mine.py:none returned int, not a Task of lab.core.grpo.tasks",
    }.items():
        (there / "mine.py").write_text(MINE + "def none(): print('{'); return 1\n")
        experiment.write_text(YAML.replace("PARAMS", OF_TASK).replace("./my_task.py:largest", wrong))
        done = lab("validate", experiment, "--json")
        assert done.returncode == 2 and message in done.stderr and not done.stdout, done.stderr
