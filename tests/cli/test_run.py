"""`lab run` from YAML to verdict, in real processes, on variants whose truth is known."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked_lab
import pytest

from lab.core.measure.ceiling import in_repeat

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One full run of the known variants: exit code, JSON, folder; and judged again, with the times that were built in."""
    folder = tmp_path_factory.mktemp("known")
    done = forked_lab.lab(folder, "run", KNOWN, "--json")
    data: dict[str, Any] = json.loads(done.stdout)
    found = {"code": done.returncode, "data": data, "folder": folder / data["folder"], "screen": done.stderr}
    found["measured"] = [
        json.loads(path.read_text()) for path in found["folder"].glob("trials/time.*/trial.json")
    ]
    settle(found["folder"])
    again = forked_lab.lab(folder, "compare", "known", "--json")
    return found | {"judged": json.loads(again.stdout)}


def settle(run: Path) -> None:
    """Write the times that were built in over those that were taken, as a quiet machine would take them: what else this
    one did meanwhile is not under test."""
    for path in run.glob("trials/time.*/trial.json"):
        trial, draw = json.loads(path.read_text()), random.Random(path.parent.name)
        unit = 3e-4 * draw.lognormvariate(0, 0.2)
        for name, samples in trial["samples"].items():
            factor = 1.1 if name == "tenth-slower" else 1.0
            samples[:] = [unit * factor * draw.lognormvariate(0, 0.005) for _ in samples]
        path.write_text(json.dumps(trial | {"load": None}))


def claims(known: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {claim["claim"]: claim for claim in known["judged"]["claims"]}


def test_one_kernel_under_two_names_comes_out_equal(known: dict[str, Any]) -> None:
    assert claims(known)["same"]["word"] == "holds"
    rows = [r for r in known["judged"]["comparison"] if r["variant"] == "same" and r["metric"] == "time"]
    assert rows and all(abs(row["ratio"] - 1) < 0.05 for row in rows)


def test_a_tenth_slower_is_seen_as_a_tenth_slower(known: dict[str, Any]) -> None:
    claim = claims(known)["slower"]
    assert claim["word"] == "holds"
    assert claim["interval"]["estimate"] == pytest.approx(1.10, abs=0.03)
    assert claim["interval"]["low"] < claim["interval"]["estimate"] < claim["interval"]["high"]
    assert claim["replicates"] == 6


def test_a_false_claim_fails(known: dict[str, Any]) -> None:
    assert claims(known)["faster"]["word"] == "fails here"


def test_a_claim_for_another_device_is_counted_neither_way(known: dict[str, Any]) -> None:
    assert claims(known)["elsewhere"]["word"] == "slower*"


def test_counted_claims_need_no_interval(known: dict[str, Any]) -> None:
    assert claims(known)["counted"]["word"] == "holds"
    assert claims(known)["counted"]["interval"]["low"] is None
    assert claims(known)["linear"]["word"] == "holds"


def test_what_is_wrong_is_not_judged_and_says_why(known: dict[str, Any]) -> None:
    claim = claims(known)["of-wrong"]
    assert claim["word"] == "not tested"
    assert "wrong" in claim["detail"]


def test_each_bad_end_is_recorded_with_its_reason(known: dict[str, Any]) -> None:
    assert known["code"] == 1
    ends = {
        (trial["variant"], trial["point"]["size"]): (trial["status"], trial["reason"])
        for path in known["folder"].glob("trials/*/trial.json")
        if (trial := json.loads(path.read_text()))["kind"] == "check"
    }
    for size in (1, 2):
        assert ends["base", size] == ("ok", "")
        assert ends["wrong", size] == ("wrong", "3 rows of 5 ones: error 0.5, allowed 1e-06")
        assert ends["refusing", size] == ("refused", "size must be even")
        assert ends["raising", size] == ("failed", "ValueError: no idea how to do this")
        assert ends["undefined", size] == ("failed", "error is NaN")
        assert ends["crashing", size][0] == "failed" and "SIGSEGV" in ends["crashing", size][1]
        assert ends["hanging", size][0] == "timeout" and "3 s" in ends["hanging", size][1]
    assert "no idea how to do this" in next(known["folder"].glob("trials/check.raising*/log.txt")).read_text()


def test_only_what_passed_is_timed(known: dict[str, Any]) -> None:
    assert len(known["measured"]) == 12
    for trial in known["measured"]:
        assert set(trial["samples"]) == {"base", "same", "tenth-slower", "base again"}
        for name, samples in trial["samples"].items():  # they spin until so much time has passed, never less
            shortest = 3e-4 * (1.1 if name == "tenth-slower" else 1.0)
            assert len(samples) >= 3 and min(samples) >= shortest
        assert trial["load"] is None or trial["load"].startswith("busy: ")
        assert trial["timer"] == "perf_counter_ns" and trial["threads"] == 1


def test_the_folder_holds_what_the_design_says(known: dict[str, Any]) -> None:
    folder = known["folder"]
    for name in (
        "run.json",
        "experiment.yaml",
        "environment.json",
        "metrics.csv",
        "comparison.csv",
        "claims.csv",
    ):
        assert (folder / name).stat().st_size > 0, name
    assert {path.suffix for path in (folder / "plots").iterdir()} == {".svg", ".png", ".pdf"}
    facts = json.loads((folder / "run.json").read_text())
    assert facts["status"] == "finished" and facts["counts"]["planned"] == sum(
        count for word, count in facts["counts"].items() if word != "planned"
    )
    with (folder / "comparison.csv").open() as file:
        assert {row["status"] for row in csv.DictReader(file)} >= {
            "ok",
            "wrong",
            "refused",
            "failed",
            "timeout",
        }
    assert not list(folder.rglob(".*"))  # no temporary file is left


def test_the_control_is_in_the_result(known: dict[str, Any], lab: Any) -> None:
    environment = json.loads((known["folder"] / "environment.json").read_text())
    assert environment["threads"] == 1 and environment["device"] == "cpu"
    compared = json.loads(lab("compare", "known", "--json", cwd=known["folder"].parents[2]).stdout)
    control = [row for row in compared["control"] if row["metric"] == "time"]
    assert [row["size"] for row in control] == [1, 2]
    assert all(row["low"] < 1.03 and row["high"] > 0.97 for row in control)


def test_the_kernel_that_ran_stands_behind_the_name(known: dict[str, Any], lab: Any) -> None:
    shown = lab("compare", "known", "--all", cwd=known["folder"].parents[2]).stdout
    assert "base (spin 1)" in shown and "base (spin 2)" in shown
    assert "same (spin 1, spin 2)" in (known["folder"] / "plots" / "time-by-size.svg").read_text()


def test_the_machines_limit_is_drawn_beside_times(known: dict[str, Any]) -> None:
    assert "matrix products" in (known["folder"] / "plots" / "time-by-size.svg").read_text()
    peaks = json.loads((known["folder"] / "environment.json").read_text())["peaks"]
    assert len(peaks["fma_by_repeat"]) == 7, "before the first of six repeats and after each"
    rates = [in_repeat(peaks, repeat) or 0.0 for repeat in range(6)]
    rows = [row for row in known["data"]["comparison"] if row["variant"] == "base" and row["size"] == 1]
    figures = {row["metric"]: row["estimate"] for row in rows}
    assert figures["peak"] == pytest.approx(statistics.median(rates))
    times = [1e6 / (rate * 1e9) * 1e3 for rate in rates]  # the trial's operations, in ms
    assert figures["time_at_peak"] == pytest.approx(statistics.median(times))


def test_a_pass_can_be_chosen_where_there_are_two(lab: Any) -> None:
    points = json.loads(lab("run", "flash-attn", "--pass", "fwd", "--dry-run", "--json").stdout)
    assert {trial["point"]["direction"] for trial in points if trial["kind"] == "time"} == {"fwd"}
    for arguments, message in (
        (("flash-attn", "--pass", "bwd"), "--pass bwd: direction: should be 'fwd' or 'fwd+bwd', not 'bwd'"),
        (("softmax", "--pass", "fwd"), "--pass fwd: softmax has no passes to choose from"),
    ):
        done = lab("run", *arguments, "--dry-run")
        assert done.returncode == 2 and message in done.stderr, done.stderr


def test_a_quick_run_is_a_preview(lab: Any, tmp_path: Path) -> None:
    done = lab("run", KNOWN, "--quick", "--variants", "same", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    words = {claim["claim"]: claim["word"] for claim in data["claims"]}
    assert words["counted"] == "holds"
    assert words["same"] == "not tested"  # size=2 is not in the quick preset
    assert data["preset"] == "quick"
    assert "(quick)" in lab("runs").stdout


def test_fail_on_names_what_ends_with_three(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "off.py").write_text(
        "from lab.core.trial import Params as Base, Wrong\nclass Params(Base): pass\n"
        "def trial(params, context): raise Wrong('no', error=1.0, allowed=0.0)\n"
    )
    (tmp_path / "off.yaml").write_text(
        "name: off\ntitle: Off\nquestion: How does it end?\ntrial: ./off.py\nvariants: {base: {}}\nbaseline: base\n"
        "seeds: 1\nmetrics: {loss: {kind: trained}}\n"
    )
    for word, code in (("wrong", 3), ("fails", 1), ("sometimes", 2)):
        assert lab("run", "./off.yaml", "--fail-on", word).returncode == code, word


def test_kill_in_the_middle_then_resume(tmp_path: Path) -> None:
    lab = str(Path(sys.executable).parent / "lab")
    arguments = [lab, "run", str(KNOWN), "--variants", "same,tenth-slower", "--repeats", "3"]
    started = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("results/known/*/trials/time*/trial.json"))) < 2:
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait()
    folder = next(tmp_path.glob("results/known/*"))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/trial.json")}
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    time.sleep(1.0)  # orphans, if there were any, would go on writing
    assert {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/trial.json")} == before

    resumed = forked_lab.lab(tmp_path, "run", KNOWN, "--resume", folder.name[-4:], "--json")
    assert resumed.returncode == 0, resumed.stderr
    data = json.loads(resumed.stdout)
    assert data["folder"].endswith(folder.name) and data["status"] == "finished"
    assert data["counts"]["ok"] == data["counts"]["planned"]
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written, "what was done was done again"
    again = forked_lab.lab(tmp_path, "run", KNOWN, "--resume")
    assert again.returncode == 2 and "no unfinished run" in again.stderr


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    lab = str(Path(sys.executable).parent / "lab")
    started = subprocess.Popen(
        [lab, "run", str(KNOWN), "--variants", "same"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("results/known/*/trials/time*/trial.json")):
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGINT)  # the whole foreground group, as a terminal does it
    output, _ = started.communicate(timeout=30)
    assert started.returncode == 130
    folder = next(tmp_path.glob("results/known/*"))
    assert f"lab run known --resume {folder.name[-4:]}" in output and "Traceback" not in output
    facts = json.loads(next(tmp_path.glob("results/known/*/run.json")).read_text())
    assert facts["status"] == "interrupted" and facts["counts"]["ok"] >= 1


def test_a_dry_run_writes_nothing(lab: Any, tmp_path: Path) -> None:
    done = lab("run", KNOWN, "--dry-run", "--json")
    trials = json.loads(done.stdout)
    kinds = [trial["kind"] for trial in trials]
    assert kinds.count("check") == 18 and kinds.count("time") == 12
    assert not (tmp_path / "results").exists()


def test_json_is_json_even_with_infinities(known: dict[str, Any]) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    json.loads(json.dumps(known["data"], allow_nan=True), parse_constant=refuse)
    assert math.isfinite(known["data"]["seconds"])
