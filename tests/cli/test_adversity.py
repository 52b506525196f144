"""Full disks, damaged files, places that cannot be written, two runs at once: a clear line, and what is done is kept."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked_lab
import pytest

from lab.core.run.folder import Run
from lab.core.run.lock import acquire, owner

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"
LEARNING = KNOWN.with_name("learning.yaml")
LAB = Path(sys.executable).parent / "lab"
QUICK_OPTIONS = ("--variants", "same", "--repeats", "1", "-s", "sample_seconds=0.05", "-s", "size=1")


def lab(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = forked_lab.lab(folder, *arguments, **environment)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert lab(folder, "run", KNOWN, *QUICK_OPTIONS).returncode == 0
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The run's folder in a copy that may be damaged; two folders up stands `results`."""
    shutil.copytree(made / "results", tmp_path / "results")
    return next(tmp_path.glob("results/known/*"))


@pytest.mark.parametrize("content", ["", '{"status": ', "[1]", "{}"])
def test_a_damaged_run_is_passed_over(content: str, copy: Path, made: Path) -> None:
    shutil.copytree(copy, sound := copy.with_name("20200101T000000Z-aaaa"))
    (copy / "run.json").write_text(content)
    facts = json.loads((sound / "run.json").read_text())
    for command in ("runs",) if content else ("runs", "compare known", "report"):
        done = lab(copy.parents[2], *command.split(), "--json")
        assert done.returncode == 0, (command, done.stderr)
        data = json.loads(done.stdout)
        ids = [run["folder"] for run in data] if command == "runs" else data.get("folder", data.get("runs"))
        assert copy.name[-4:] not in str(ids) and "aaaa" in str(ids), facts["id"]


@pytest.mark.parametrize("name", ["experiment.yaml", "environment.json"])
def test_a_damaged_file_of_a_run_is_named(name: str, copy: Path) -> None:
    (copy / name).write_bytes(b"\xff\x00 {")
    done = lab(copy.parents[2], "compare", "known")
    assert done.returncode == 1 and f"{name}: is damaged" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_trial_is_left_out_and_named(copy: Path) -> None:
    (copy / "trials" / "check.same.size=1" / "trial.json").write_text('{"kind": "check", ')
    done = lab(copy.parents[2], "compare", "known", "--json")
    data = json.loads(done.stdout)
    assert done.returncode == 0
    assert any("check.same.size=1 is left out" in warning for warning in data["warnings"])
    assert {
        row["variant"]
        for row in data["comparison"]
        if row["metric"] == "steps" and row["estimate"] is not None
    } == {"base"}


def test_a_file_in_the_place_of_the_results_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("mine")
    done = lab(tmp_path, "run", KNOWN, *QUICK_OPTIONS)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == "results/ cannot be written: Not a directory. Choose another folder: --results DIR"
    )
    assert (tmp_path / "results").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place where nobody may write")
def test_a_results_folder_that_cannot_be_made(tmp_path: Path) -> None:
    done = lab(tmp_path, "run", KNOWN, *QUICK_OPTIONS, "--results", "/proc/nowhere")
    assert done.returncode == 2 and "/proc/nowhere/ cannot be written" in done.stderr


@pytest.mark.parametrize("bytes_allowed", [100, 4000])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(bytes_allowed: int, tmp_path: Path) -> None:
    """No file may grow beyond so many bytes: at 100 the run cannot begin, at 4000 the plots do not fit."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))

    text = KNOWN.read_text().partition("claims:")[0].replace("hanging: {}", "")  # so that YAML and facts fit
    (tmp_path / "known.yaml").write_text(text)
    shutil.copy(KNOWN.parent / "known_trial.py", tmp_path)
    done = subprocess.run(
        [LAB, "run", "./known.yaml", "--variants", "same", "--repeats", "1"],
        cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit,
    )  # fmt: skip
    assert "Traceback" not in done.stderr and done.returncode in (1, 2)
    said = done.stderr.strip().splitlines()
    assert len(said) == 1 and ("File too large" in said[0] or "cannot be written" in said[0]), said
    assert not list((tmp_path / "results").rglob(".*")), "no temporary file is left"
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())


def test_two_runs_at_once_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # a lock of our own, whoever else is timing here
    lock = tmp_path / "lab-timing.lock"
    both = []
    try:
        for _ in range(2):
            both.append(
                subprocess.Popen(
                    [LAB, "run", KNOWN, "--variants", "same"],
                    cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )
            )  # fmt: skip
            deadline = time.monotonic() + 60
            while not (lock.exists() and lock.read_text()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        first = json.loads(next(tmp_path.glob("results/known/*/run.json")).read_text())["id"]
        assert both[1].stdout is not None
        for line in both[1].stdout:
            if "waiting for" in line:
                break
        assert f"waiting for known {first}" in line
        both[1].send_signal(signal.SIGINT)  # one who waits can be interrupted
        assert both[1].wait(30) == 130
        assert both[0].poll() is None, "the first goes on"
    finally:
        for one in both:
            one.send_signal(signal.SIGINT)
            one.communicate(timeout=30)
    assert both[0].returncode == 130


@pytest.mark.slow
def test_trials_started_by_spawn_give_the_same(tmp_path: Path) -> None:
    arguments = ("run", LEARNING, "--seeds", "1", "--variants", "plain", "--json")
    figures = []
    for method in ("spawn", "forkserver"):
        done = lab(tmp_path, *arguments, LAB_START=method, LAB_CACHE=forked_lab.own_cache(tmp_path))
        assert done.returncode == 0, done.stderr
        figures.append([(row["variant"], row["metric"], row["estimate"]) for row in json.loads(done.stdout)["comparison"]])  # fmt: skip
    assert figures[0] == figures[1] and figures[0]


def test_two_that_resume_one_run_at_once_the_second_is_refused(tmp_path: Path) -> None:
    environment = os.environ | {"LAB_CACHE": forked_lab.own_cache(tmp_path)}
    options = ("--variants", "plain", "--seeds", "2", "-s", "pause=0.2", "--workers", "1")
    first = subprocess.Popen(
        [LAB, "run", LEARNING, *options], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("results/learning/*/trials/*/records.jsonl")):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    run = next(tmp_path.glob("results/learning/*"))
    assert Run(run).facts["status"] == "running" and owner(run / "lock") == f"process {first.pid}"
    first.kill()
    first.wait()
    assert Run(run).facts["status"] == "interrupted"
    both = [
        subprocess.Popen([LAB, "run", LEARNING, "--resume", run.name[-4:]], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]  # fmt: skip
    said = [one.communicate(timeout=120)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 2], said
    assert any(f"still running, in another terminal (process {one.pid})" in "".join(said) for one in both), (
        said
    )
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "finished" and facts["sessions"] == 2
    assert len(list(run.glob("trials/*/trial.json"))) == 4


def test_another_lock_or_none_is_told_and_kept_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "lab-timing.lock").symlink_to(tmp_path / "victim")
    # Held here, or by a run of somebody else's that is timing now: both is told.
    lock = acquire(Path("/tmp") / "lab-timing-anywhere.lock", for_everybody=True, patience=0)
    try:
        done = lab(tmp_path, "run", KNOWN, *QUICK_OPTIONS, "--json", TMPDIR=str(tmp_path))
    finally:
        if lock is not None:
            os.close(lock)
    assert done.returncode == 0 and not (tmp_path / "victim").exists()
    warnings = " ".join(json.loads(done.stdout)["warnings"])
    for message in (
        "whether another run is timing cannot be known",
        "is timing as well, under another TMPDIR",
    ):
        assert message in done.stderr and message in warnings


MISBEHAVING = """
name: misbehaving
title: Trials that end badly
question: What is tried again?
trial: {trial}
params: {{file: {file}, what: nothing}}
variants: {{fine: {{}}, killed: {{what: is killed at first}}, failing: {{what: fails at first}}}}
baseline: fine
seeds: 1
metrics: {{seed: {{kind: trained}}}}
"""


def test_what_the_machine_ended_is_tried_again_and_the_rest_when_asked(tmp_path: Path) -> None:
    trial, now = KNOWN.with_name("misbehaving_trial.py"), tmp_path / "now"
    (tmp_path / "misbehaving.yaml").write_text(MISBEHAVING.format(trial=trial, file=now))

    def ends(*arguments: str) -> tuple[dict[str, str], Any]:
        done = lab(tmp_path, "run", "./misbehaving.yaml", *arguments, "--json")
        run = next(tmp_path.glob("results/misbehaving/*"))
        found = {path.parent.name: path for path in run.glob("trials/*/trial.json")}
        assert len(found) == 3, done.stderr
        written.append({name: path.stat().st_mtime_ns for name, path in found.items()})
        return {
            name.split(".")[1]: json.loads(path.read_text())["status"] for name, path in found.items()
        }, done

    written: list[dict[str, int]] = []
    first, done = ends()
    assert first == {"fine": "ok", "killed": "failed", "failing": "failed"}
    warning_start = "the machine ended 1 trial (its process was ended by SIGKILL (out of memory?))"
    assert any(warning.startswith(warning_start) for warning in json.loads(done.stdout)["warnings"])
    now.touch()
    assert ends("--resume")[0] == first | {"killed": "ok"}
    assert ends("--resume", "--retry-failed")[0] == dict.fromkeys(first, "ok")
    assert [len({one[name] for one in written}) for name in sorted(written[0])] == [2, 1, 2], (
        "what is done stays"
    )
    again = lab(tmp_path, "run", "./misbehaving.yaml", "--resume", "--retry-failed")
    assert again.returncode == 2 and "no unfinished run" in again.stderr

    facts = next(tmp_path.glob("results/misbehaving/*/run.json"))
    content = json.loads(facts.read_text())
    facts.write_text(json.dumps(content | {"status": "interrupted", "code": "other"}))
    refused = lab(tmp_path, "run", "./misbehaving.yaml", "--resume")
    assert refused.returncode == 2 and "lab itself has changed since run" in refused.stderr


def test_a_variant_that_passes_only_later_is_timed_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "import os, signal\nfrom pathlib import Path\nfrom lab.core.trial import Case, Params as Base\n"
        "class Params(Base): pass\n"
        "def case(params, context):\n"
        "    def check():\n"
        "        if context.variant == 'late' and not Path('now').exists(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return {'error': 0.0}\n"
        "    return Case(lambda: sum(range(1000)), check, {})\n"
    )
    (tmp_path / "late.yaml").write_text(
        "name: late\ntitle: Late\nquestion: Is it timed?\ntrial: ./late.py\nvariants: {base: {}, late: {}}\n"
        "baseline: base\nrepeats: 1\nsample_seconds: 0.05\nmetrics: {time: {unit: ms, kind: timed}}\n"
    )
    for expected in ({"base", "base again"}, {"base", "base again", "late"}):
        done = lab(tmp_path, "run", "./late.yaml", *(["--resume"] if (tmp_path / "now").exists() else []))
        timed = json.loads(next(tmp_path.glob("results/late/*/trials/time*/trial.json")).read_text())
        assert set(timed["samples"]) == expected, done.stderr
        (tmp_path / "now").touch()
