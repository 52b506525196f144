"""Trials in real processes: whatever one does, it ends alone, nothing of it goes on, and its end is written down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.core.experiment.mistakes import Mistakes
from lab.core.run import schedule
from lab.core.run.execute import Interrupted, _interruptible
from lab.core.run.plan import Trial
from lab.core.run.process import Job, _time
from lab.core.run.schedule import Event
from lab.core.trial import Case

MISBEHAVING = Path(__file__).parents[2] / "known" / "misbehaving_trial.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="ties that only Linux keeps")


def job(folder: Path, what: str, file: Path | str = "", subject: Path = MISBEHAVING) -> Job:
    trial = Trial("train", "a", {}, 0, what.replace(" ", "-"))
    params = {"a": {"what": what, "file": str(file)} if subject == MISBEHAVING else {}}
    return Job(trial, str(subject), str(folder), str(folder / trial.key), params, (), "cpu", 1, 1.0)


def end(folder: Path, what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / what.replace(" ", "-") / "trial.json").read_text())
    return found


# A runner of its own, to be killed: what `lab run` does, without its screens.
RUNNER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_processes import job, schedule
folder, what, file, timeout, *subject = sys.argv[1:]
try:
    schedule.start_server([], {{}})
    print("started", flush=True)
    schedule.run([job(Path(folder), what, file, *map(Path, subject))], 1, float(timeout), lambda event: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def runner(
    folder: Path, *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.Popen[str]:
    script = folder / "runner" / "runner.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(RUNNER.format(here=str(Path(__file__).parent)))
    return subprocess.Popen(
        [sys.executable, script, folder, *arguments], cwd=cwd, env=os.environ | environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(is_so: Callable[[], bool], runner: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline and (runner is None or runner.poll() is None)
        time.sleep(0.02)


def living(pids: list[int]) -> list[int]:
    return [
        pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


ENDS = {
    "nothing special": ("ok", "", None),
    "says a word for a number": ("failed", "TypeError: done must be a whole number, not '3'", None),
    "records at no step": ("failed", "TypeError: step must be a whole number, not 'one'", None),
    "writes to every descriptor": ("ok", "", None),
    "closes every descriptor": ("ok", "", None),
    "removes its folder": ("ok", "", None),
    "removes its folder and dies": ("failed", "its process ended with exit code 3 before the trial was done", None),
    "puts a file in the place of its folder": ("failed", "its process ended with exit code 1 before the trial was done", None),
    "puts a folder in the place of trial.json": ("failed", "its process ended with exit code 1 before the trial was done", None),
    "tears trial.json and dies": ("failed", "its process ended with exit code 0 before the trial was done", None),
    "goes elsewhere": ("ok", "", None),
    "interrupts itself": ("failed", "KeyboardInterrupt", None),
    "is killed": ("failed", "its process was ended by SIGKILL (out of memory?)", "machine"),
    "finds no room for a checkpoint": ("failed", "OSError: [Errno 27] File too large", "machine"),
    "needs more memory than there is": ("failed", "RuntimeError", "machine"),
    "crashes with a child alive": ("failed", "its process was ended by SIGSEGV", None),
}  # fmt: skip


def test_one_trial_ends_nobody_else_and_its_end_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    heard: list[Event] = []
    schedule.start_server([], {})
    schedule.run([job(tmp_path, what) for what in ENDS], 2, 300, heard.append)
    for what, (status, reason, cause) in ENDS.items():
        found = end(tmp_path, what)
        assert (found["status"], found.get("cause")) == (status, cause), (what, found)
        assert found["reason"].startswith(reason), (what, found)
    ended = [event.job.trial.key for event in heard if event.what == "ended"]
    assert sorted(ended) == sorted(what.replace(" ", "-") for what in ENDS)


@linux
def test_what_a_trial_writes_anywhere_does_not_end_the_server(tmp_path: Path) -> None:
    schedule.start_server([], {})
    before = schedule._server()
    for what in ("writes to every descriptor", "closes every descriptor"):
        schedule.run([job(tmp_path, what)], 1, 300, lambda event: None)
        assert not schedule._server_has_ended(), what
    schedule.run([job(tmp_path, "nothing special")], 1, 300, lambda event: None)
    assert end(tmp_path, "nothing special")["status"] == "ok" and schedule._server() == before


@linux
def test_a_server_that_is_ended_is_followed_by_another(tmp_path: Path) -> None:
    schedule.start_server([], {})
    schedule.run(
        [job(tmp_path, "ends its server"), job(tmp_path, "nothing special")], 1, 300, lambda event: None
    )
    assert end(tmp_path, "ends its server")["cause"] == "machine"
    assert "starts trials was ended" in end(tmp_path, "ends its server")["reason"]
    assert end(tmp_path, "nothing special")["status"] == "ok"


@linux
def test_what_a_trial_leaves_behind_is_ended(tmp_path: Path) -> None:
    schedule.start_server([], {})
    schedule.run([job(tmp_path, "leaves children", tmp_path / "pids")], 1, 300, lambda event: None)
    assert end(tmp_path, "leaves children")["status"] == "ok"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4 and not living(pids)


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_nothing_outlives_a_runner_however_busy_it_is(number: signal.Signals, tmp_path: Path) -> None:
    started = runner(tmp_path, "starts children and never lets Python run", tmp_path / "pids", "1000")
    until((tmp_path / "pids").exists, started)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    pids += [child.pid for child in psutil.Process(started.pid).children(recursive=True)]
    assert len(living(pids)) == len(pids) >= 4 + 2 + 4  # with the server and the tracker
    os.killpg(started.pid, number) if number == signal.SIGHUP else started.kill()
    started.communicate(timeout=60)
    until(lambda: not living(pids))


@linux
def test_a_trial_of_a_fresh_interpreter_ends_with_its_runner_too(tmp_path: Path) -> None:
    started = runner(tmp_path, "starts children and never lets Python run", tmp_path / "pids", "1000", LAB_START="spawn")  # fmt: skip
    until((tmp_path / "pids").exists, started)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    try:
        started.kill()
        started.communicate(timeout=60)
        until(lambda: not living(pids[:1]))
    finally:
        for pid in living(pids):
            os.kill(pid, signal.SIGKILL)


def test_a_stopped_runner_holds_up_no_trial(tmp_path: Path) -> None:
    started = runner(tmp_path, "says more than anyone hears", "", "1000")
    log = tmp_path / "says-more-than-anyone-hears" / "log.txt"
    until(log.exists, started)
    started.send_signal(signal.SIGSTOP)
    until((log.parent / "trial.json").exists)
    started.send_signal(signal.SIGCONT)
    assert "Traceback" not in started.communicate(timeout=60)[1]
    assert end(tmp_path, "says more than anyone hears")["status"] == "ok"


def test_the_time_in_which_a_runner_was_held_up_is_not_counted(tmp_path: Path) -> None:
    def on_event(event: Event) -> None:
        if event.what == "progress":  # as if its terminal were stopped, for longer than the trial may take
            time.sleep(6)
            (tmp_path / "go").touch()

    schedule.start_server([], {})
    schedule.run([job(tmp_path, "waits", tmp_path / "go")], 1, 4, on_event)
    assert end(tmp_path, "waits")["status"] == "ok"


@linux
def test_ctrl_c_while_torch_loads_is_the_runners_business(tmp_path: Path) -> None:
    started = runner(tmp_path, "waits", tmp_path / "never", "1000")
    assert started.stdout is not None and started.stdout.readline() == "started\n"
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130 and "Traceback" not in said, said


@pytest.mark.parametrize("method", schedule.METHODS)
def test_what_lies_in_the_working_folder_is_not_imported(method: str, tmp_path: Path) -> None:
    """Neither by the server, nor by trials, nor by what their own files stand on; but these find what lies beside."""
    (folder := tmp_path / "here").mkdir()
    trap = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__name__ + ' ')\nraise SystemExit(9)\n"
    for name in {
        *sys.stdlib_module_names,
        "torch",
        "numpy",
        "sympy",
        "optree",
        "opt_einsum",
        "pydantic",
        "lab",
        "usercustomize",
    }:
        (folder / f"{name}.py").write_text(trap)
    (folder / "mine_beside.py").write_text("VALUE = 3.0\n")
    (folder / "mine.py").write_text(
        "import random, secrets, torch, torch.fft, mine_beside\nfrom lab.core.trial import Params as Base\n"
        "class Params(Base): pass\n"
        "def trial(params, context): return {'value': mine_beside.VALUE * random.random() * torch.ones(1).item()}\n"
    )
    started = runner(tmp_path, "mine", "", "300", folder / "mine.py", cwd=folder, LAB_START=method)
    _, said = started.communicate(timeout=120)
    assert not (tmp_path / "sprung").exists(), (tmp_path / "sprung").read_text()
    assert started.returncode == 0 and end(tmp_path, "mine")["status"] == "ok", (said, end(tmp_path, "mine"))


@linux
def test_a_temporary_folder_with_a_long_name(tmp_path: Path) -> None:
    (long := tmp_path / ("x" * 90)).mkdir()
    started = runner(tmp_path, "nothing special", "", "300", TMPDIR=str(long))
    _, said = started.communicate(timeout=120)
    assert started.returncode == 0 and end(tmp_path, "nothing special")["status"] == "ok", said


def test_a_way_to_start_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_START", "bogus")
    with pytest.raises(Mistakes, match="LAB_START=bogus: should be forkserver or spawn"):
        schedule.start_server([], {})
    monkeypatch.setenv("LAB_START", "")
    assert schedule.method() in schedule.METHODS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_hangs_up_interrupts(number: signal.Signals) -> None:
    with pytest.raises(Interrupted), _interruptible(None):
        os.kill(os.getpid(), number)
        time.sleep(10)
    assert signal.getsignal(number) == signal.SIG_DFL
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` has it
    try:
        with _interruptible(None):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_each_timing_process_has_an_order_of_its_own(tmp_path: Path) -> None:
    orders: list[tuple[str, ...]] = []
    for replicate in range(6):
        called: list[str] = []

        def case(name: str, called: list[str] = called) -> Case:
            return Case(lambda: called.append(name), lambda: {}, {})

        trial = Trial("time", "", {}, replicate, "time")
        job = Job(trial, "", "", str(tmp_path), {}, ("a",), "cpu", 1, 0.01)
        # What was called since the last block, each once.
        blocks: list[tuple[str, ...]] = []

        def send(message: tuple[Any, ...], called: list[str] = called, blocks: list[Any] = blocks) -> None:
            blocks.append(tuple(dict.fromkeys(called)))
            called.clear()

        _time(job, {name: case(name) for name in "abc"}, send)
        orders.append(blocks[1])  # the first one follows the warming up
    assert len(set(orders)) > 3
    assert {order[0] for order in orders} == set("abc")
