"""A real run in which one variant has not learnt its task: what each command says of claims that need it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.cli.run_results import exit_code
from lab.core.run.folder import Run
from lab.core.run.results import gather

TRIAL = """
from lab.core.trial import Params as Base

class Params(Base):
    reach: float = 1.0
    length: int = 16

def trial(params, context):
    drift = (context.seed % 5 - 2) / 1000
    return {"right": params.reach * 16 / params.length + drift}
"""
FILE = """
name: reach
title: What lies beyond
question: Does it reach?
trial: ./reach_trial.py
axes: {length: [16, 32]}
variants: {none: {reach: 0.75}, alibi: {}}
baseline: none
seeds: 6
metrics: {right: {kind: trained, better: higher}}
claims:
  - {id: better, says: It is better at twice the length., source: ours, expect: {at_least: 0},
     measure: {difference: right, of: alibi, over: none, where: {length: 32}},
     needs: {metric: right, at_least: 0.95, where: {length: 16}}}
  - {id: half, says: It keeps a third., source: ours, expect: {at_least: 0.33},
     measure: {value: right, of: alibi, where: {length: 32}},
     needs: {metric: right, at_least: 0.95, where: {length: 16}}}
"""
REASON = "right of none is 0.75 at length=16, below 0.95: train it longer"


def test_what_each_command_says_of_it(
    lab: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "reach_trial.py").write_text(TRIAL)
    (tmp_path / "reach.yaml").write_text(FILE)
    done = lab("run", "./reach.yaml", "--until", "settled", "--json", "--fail-on", "untrained")
    data = json.loads(done.stdout)
    claims = {claim["claim"]: claim for claim in data["claims"]}
    assert done.returncode == 3 and data["counts"] == {"planned": 24, "ok": 24}, done.stderr
    assert data["until"] == f"more seeds would not settle what is open: better: {REASON}"
    assert {id: claim["word"] for id, claim in claims.items()} == {
        "better": "not trained enough",
        "half": "holds",
    }
    better = claims["better"]
    assert better["detail"] == REASON and better["settling"]["why_not"] == REASON and better["more"] is None
    assert better["here"].startswith("+0.125") and better["needs"] == "right at least 0.95 at length=16"
    assert "not trained enough" in done.stderr and "explain" in done.stderr
    assert "1 holds, 1 not trained enough" in done.stderr and "at most 0.05 of 1 sampled" in done.stderr

    written = next(tmp_path.glob("results/reach/*/claims.csv")).read_text()
    row = next(row for row in csv.DictReader(io.StringIO(written)) if row["claim"] == "better")
    assert (row["word"], row["detail"], row["more"]) == ("not trained enough", REASON, "")

    explained = lab("explain", "./reach.yaml/better").stdout
    words = " ".join(explained.split())
    assert "needs right at least 0.95 at length=16" in words and REASON in words
    assert "here +0.125" in words and "over 6 seeds" in words and "settle it" not in words
    shown = lab("compare", "./reach.yaml", "--claims").stdout
    assert REASON in " ".join(shown.split()) and shown.index("better") < shown.index("half")
    table = lab("compare", "./reach.yaml", "--format", "markdown").stdout
    assert "| not trained enough |" in table
    results = gather(Run(next(tmp_path.glob("results/reach/*"))))
    assert [exit_code(results, frozenset([on])) for on in ("fails", "unclear", "untrained")] == [0, 0, 3]
    wrong = lab("run", "./reach.yaml", "--fail-on", "untrainde")
    assert (wrong.returncode, wrong.stderr.strip()) == (
        2,
        "--fail-on untrainde: fails, wrong, unclear or untrained",
    )
