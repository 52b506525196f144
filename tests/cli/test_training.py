"""`lab run` of a training whose truth is known: fair, repeatable, resumed where it stopped."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import forked_lab
import pytest

LEARNING = Path(__file__).parents[1] / "known" / "learning.yaml"
LAB = Path(sys.executable).parent / "lab"


def lab(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """`lab ARGUMENTS --json` in that folder; the JSON with the exit code, the screen and the run's folder."""
    done = forked_lab.lab(folder, *arguments, "--json", LAB_CACHE=forked_lab.own_cache(folder))
    assert done.stdout, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data | {"code": done.returncode, "screen": done.stderr, "at": folder / data["folder"]}


def trials(run: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in run.glob("trials/*/trial.json")}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return lab(tmp_path_factory.mktemp("learned"), "run", LEARNING, "--workers", "1")


def test_the_number_of_workers_changes_no_figure(learned: dict[str, Any], tmp_path: Path) -> None:
    other = lab(tmp_path, "run", LEARNING, "--workers", "2")
    for name in ("metrics.csv", "curves.csv"):
        assert (learned["at"] / name).read_bytes() == (other["at"] / name).read_bytes(), name
    one, two = trials(learned["at"]), trials(other["at"])
    assert one.keys() == two.keys() and len(one) == 9
    for key in one:
        assert one[key].get("metrics") == two[key].get("metrics"), key
        assert one[key]["status"] == two[key]["status"]


def test_all_variants_of_a_seed_start_alike_and_seeds_differ(learned: dict[str, Any]) -> None:
    starts: dict[str, set[str]] = {}
    for row in rows(learned["at"] / "curves.csv"):
        if row["metric"] == "start":
            starts.setdefault(row["replicate"], set()).add(row["value"])
    assert len(starts) == 3 and all(len(values) == 1 for values in starts.values())
    assert len(set.union(*starts.values())) == 3


def test_trials_go_seed_by_seed(learned: dict[str, Any], tmp_path: Path) -> None:
    planned = forked_lab.lab(tmp_path, "run", LEARNING, "--dry-run", "--json")
    order = [trial["replicate"] for trial in json.loads(planned.stdout)]
    assert order == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    happened = sorted(trials(learned["at"]).values(), key=lambda trial: trial["started"])
    assert [trial["replicate"] for trial in happened] == order


def test_what_diverges_is_recorded_with_its_step_and_the_others_go_on(learned: dict[str, Any]) -> None:
    ends = Counter((trial["variant"], trial["status"]) for trial in trials(learned["at"]).values())
    assert ends == {("control", "ok"): 3, ("plain", "ok"): 3, ("diverging", "failed"): 3}
    reasons = {trial["reason"] for trial in trials(learned["at"]).values() if trial["variant"] == "diverging"}
    assert reasons == {"loss is NaN at step 3"}
    assert learned["code"] == 1 and "loss is NaN at step 3" in learned["screen"]
    words = {claim["claim"]: claim["word"] for claim in learned["claims"]}
    assert words == {"learns": "preview", "falls": "preview", "of-diverging": "not tested"}
    assert "loss is NaN at step 3" in next(
        claim["detail"] for claim in learned["claims"] if claim["claim"] == "of-diverging"
    )


def test_curves_hold_every_step_and_samples_are_kept_apart(learned: dict[str, Any]) -> None:
    loss = [row for row in rows(learned["at"] / "curves.csv") if row["metric"] == "loss"]
    steps = [int(row["step"]) for row in loss if (row["variant"], row["replicate"]) == ("plain", "1")]
    assert steps == list(range(21))
    records = (learned["at"] / "trials" / "train.plain.1" / "records.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in records if "sample" in line]
    assert [sample["step"] for sample in samples] == [5, 10, 15, 20]
    assert samples[0]["sample"].startswith("w = [")


def test_a_finished_run_grows_by_seeds_without_doing_anything_again(
    learned: dict[str, Any], tmp_path: Path
) -> None:
    first = lab(tmp_path, "run", LEARNING, "--seeds", "1")
    before = {path: path.stat().st_mtime_ns for path in first["at"].glob("trials/*/trial.json")}
    grown = lab(tmp_path, "run", LEARNING, "--resume", first["at"].name[-4:], "--seeds", "3")
    assert grown["at"] == first["at"] and grown["counts"]["planned"] == 9
    assert "3 of 9 trials are done already" in grown["screen"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for name in ("metrics.csv", "curves.csv"):  # two goes or one: the same figures
        assert (grown["at"] / name).read_text() == (learned["at"] / name).read_text()


def test_fewer_seeds_than_there_are_is_no_resuming(tmp_path: Path) -> None:
    first = lab(tmp_path, "run", LEARNING, "--seeds", "2", "--variants", "plain")
    before = (first["at"] / "experiment.yaml").read_text()
    for seeds in ("1", "2"):
        again = forked_lab.lab(tmp_path, "run", LEARNING, "--resume", first["at"].name[-4:], "--seeds", seeds)
        assert again.returncode == 2, again.stdout
        assert "has 2 seeds" in again.stderr
    assert (first["at"] / "experiment.yaml").read_text() == before


def test_kill_in_the_middle_of_a_training_then_resume_from_its_checkpoint(
    learned: dict[str, Any], tmp_path: Path
) -> None:
    arguments = [LAB, "run", LEARNING, "--variants", "plain", "--seeds", "1", "-s", "pause=0.05", "--workers", "1"]  # fmt: skip
    environment = os.environ | {"LAB_CACHE": forked_lab.own_cache(tmp_path)}
    started = subprocess.Popen(
        arguments, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    records = Path("trials/train.plain.0/records.jsonl")

    def steps(run: Path) -> list[int]:
        lines = (run / records).read_text().splitlines() if (run / records).exists() else []
        return [json.loads(line)["step"] for line in lines if line.endswith("}") and "loss" in line]

    while not any(
        len(steps(run)) > 7 for run in tmp_path.glob("results/learning/*")
    ):  # one checkpoint and more
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    run = next(tmp_path.glob("results/learning/*"))
    assert not trials(run).get("train.plain.0")
    time.sleep(0.5)  # the trial follows its runner
    reached = max(steps(run))
    with (run / records).open("a") as file:
        file.write('{"step": 99, "lo')  # as if it had been killed while it wrote

    resumed = lab(tmp_path, "run", LEARNING, "--resume", run.name[-4:])
    assert resumed["at"] == run
    done = trials(run)["train.plain.0"]
    assert done["status"] == "ok" and done["metrics"]["resumed"] in (5, 10, 15)
    assert done["metrics"]["resumed"] <= reached
    curve = [
        int(row["step"])
        for row in rows(run / "curves.csv")
        if row["metric"] == "loss" and row["variant"] == "plain"
    ]
    assert curve == list(range(21)), "each step once, though some were trained twice"

    whole = trials(learned["at"])["train.plain.0"]["metrics"]
    assert done["metrics"]["final"] == whole["final"], "as if nothing had happened"


@pytest.mark.slow
def test_many_small_trials_each_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Prints what the runner itself costs; see it with -s."""
    (tmp_path / "trivial_trial.py").write_text(
        "from lab.core.trial import Params as Base\n\n\nclass Params(Base):\n    pass\n\n\n"
        "def trial(params, context):\n    return {'seed': context.seed}\n"
    )
    (tmp_path / "trivial.yaml").write_text(
        "name: trivial\ntitle: Nothing\nquestion: What does the runner cost?\ntrial: ./trivial_trial.py\n"
        "variants: {nothing: {}}\nbaseline: nothing\nseeds: 200\nmetrics: {seed: {better: lower, kind: trained}}\n"
    )
    done = lab(tmp_path, "run", "./trivial.yaml", "--workers", "1")
    ends = trials(done["at"])
    assert len(ends) == 200 and all(end["metrics"]["seed"] == end["replicate"] for end in ends.values())
    starts = sorted(end["started"] for end in ends.values())
    print(f"\n{1000 * (starts[-1] - starts[0]) / (len(starts) - 1):.1f} ms a trial")
