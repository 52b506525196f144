"""`lab run --until settled` in real processes, on figures whose distribution is known: `better` is unclear at six seeds."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import forked_lab
import pytest

from lab.core.run.folder import Run
from lab.core.run.opening import experiment_of
from lab.core.run.results import Results, gather

NOISY = Path(__file__).parents[1] / "known" / "noisy.yaml"
Lab = Callable[..., subprocess.CompletedProcess[str]]


def only_run(place: Path) -> Run:
    (folder,) = place.glob("results/noisy/*")
    return Run(folder)


def words(results: Results) -> dict[str, str]:
    return {verdict.claim: verdict.word for verdict in results.verdicts}


def test_from_look_to_look_until_each_claim_is_settled(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", NOISY, "--until", "settled", "--json")
    assert done.returncode == 0, done.stderr
    data, run, told = json.loads(done.stdout), only_run(tmp_path), " ".join(done.stderr.split())
    assert data["until"] == "nothing is open at 24 seeds"
    assert "open at 6 seeds: better. On to the look at 12" in told and "the last is at 192" in told
    assert "open at 12 seeds: better. On to the look at 24" in told
    assert "claims are judged by 99.53% intervals at 24 seeds, 1.51x as wide as 95% ones" in told
    facts, claims = run.facts, {claim["claim"]: claim for claim in data["claims"]}
    assert (facts["status"], facts["planned"], facts["again"], facts["full"]) == ("finished", 6, [], True)
    assert facts["counts"] == {"planned": 72, "ok": 72} and facts["sessions"] == 1
    assert {claim["word"] for claim in claims.values()} == {"holds"}
    assert claims["better"]["replicates"] == 24 and claims["better"]["interval"]["level"] == 0.9953125
    again = lab("run", NOISY, "--until", "settled", "--resume")  # the newest full one, though it is finished
    assert again.returncode == 0 and "nothing is open at 24 seeds" in again.stdout
    assert experiment_of(run).seeds == 24


def test_ctrl_c_and_a_short_budget_leave_the_last_look_as_it_was(lab: Lab, tmp_path: Path) -> None:
    """Stopped on the way from six seeds to twelve, the run stays the finished one that it was; then a budget that is
    shorter than what is left of the round, and none at all; then it is settled by the command that was printed."""
    environment = os.environ | {"LAB_CACHE": forked_lab.own_cache(tmp_path)}
    command = ["lab", "run", str(NOISY), "-s", "seconds=0.2", "--until", "settled", "--workers", "2"]
    started = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("results/noisy/*/trials/*/trial.json"))) < 22:
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=60)
    run = only_run(tmp_path)
    assert started.returncode == 130 and "Traceback" not in said
    hint = next(line for line in said.splitlines() if line.startswith("  lab run"))
    assert hint.split() == ["lab", "run", "noisy", "--resume", run.id, "--until", "settled"]

    def is_as_at_six() -> bool:
        results = gather(run)
        seeds = {verdict.replicates for verdict in results.verdicts}
        return run.is_finished and words(results) == {"better": "unclear", "far": "holds"} and seeds == {6}

    assert is_as_at_six() and 6 <= (experiment_of(run).seeds or 0) < 12
    short = lab(*shlex.split(hint)[1:], "--budget", "1s", "--json")
    assert short.returncode == 0, short.stderr
    assert "budget" in json.loads(short.stdout)["until"] and is_as_at_six()
    none = lab(*shlex.split(hint)[1:], "--budget", "0.01s")  # spent before anything is looked at
    assert none.returncode == 0 and is_as_at_six(), none.stderr
    assert lab(*shlex.split(hint)[1:]).returncode == 0
    assert words(gather(run)) == {"better": "holds", "far": "holds"} and run.facts["again"] == []


def test_a_budget_shorter_than_the_first_trials_leaves_a_run_to_go_on_with(lab: Lab, tmp_path: Path) -> None:
    done = lab("run", NOISY, "-s", "seconds=30", "--until", "settled", "--budget", "2s", "--json")
    data, run = json.loads(done.stdout), only_run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert data["until"] == "the budget is spent" and data["status"] == "interrupted" == run.facts["status"]
    assert f"lab run noisy --resume {run.id} --until settled" in done.stderr
    assert not list(run.folder.glob("trials/*/trial.json"))


@pytest.mark.parametrize(
    "options, said",
    [
        (["--until", "tomorrow"], "--until tomorrow: settled"),
        (["--budget", "20m"], "goes with --until settled"),
        (["--until", "settled", "--budget", "20"], "--budget 20: a span of time, as 90s"),
    ],
)
def test_wrong_use_is_one_line(lab: Lab, options: list[str], said: str) -> None:
    done = lab("run", NOISY, *options)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
