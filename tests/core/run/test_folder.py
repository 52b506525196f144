"""Runs on disk: the newest, the full ones, those whose process is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.core.run.files import write_json
from lab.core.run.folder import Run, by_id, newest, runs, this_process


def make(results: Path, name: str, **facts: object) -> Run:
    folder = results / "known" / name
    (folder / "trials").mkdir(parents=True)
    usual = {"experiment": "known", "version": 1, "started": "2026-01-01T00:00:00Z", "seconds": 1.0}
    usual |= {"status": "finished", "full": True, "preset": None, "label": ""}
    write_json(folder / "run.json", usual | facts)
    return Run(folder)


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = this_process()
    assert make(tmp_path, "1-aaaa", status="running", process=mine).facts["status"] == "running"
    assert make(tmp_path, "2-bbbb", status="running", process={"pid": ended.pid, "born": 1.0}).facts["status"] == "interrupted"  # fmt: skip
    # The number of a dead process may be given to a living one.
    reused = mine | {"born": mine["born"] - 1000}
    assert make(tmp_path, "3-cccc", status="running", process=reused).facts["status"] == "interrupted"
    assert make(tmp_path, "4-dddd", status="running").facts["status"] == "interrupted"


def test_the_newest_that_is_asked_for(tmp_path: Path) -> None:
    make(tmp_path, "20260101T000000Z-aaaa")
    make(tmp_path, "20260102T000000Z-bbbb", status="interrupted")
    make(tmp_path, "20260103T000000Z-cccc", full=False)
    (tmp_path / "known" / "20260104T000000Z-dddd").mkdir()  # killed before it wrote anything
    assert [run.id for run in runs(tmp_path)] == ["cccc", "bbbb", "aaaa"]

    def letters(**asked: bool) -> str | None:
        run = newest(tmp_path, "known", **asked)
        return run.id if run else None

    assert letters() == "cccc" and letters(full=True) == "bbbb"
    assert letters(full=True, finished=True) == "aaaa" and letters(finished=False) == "bbbb"
    assert newest(tmp_path, "other") is None
    found = by_id(tmp_path, "known", "bbbb")
    assert found and found.folder.name == "20260102T000000Z-bbbb"
    assert by_id(tmp_path, "known", found.folder.name) == found and by_id(tmp_path, "known", "zzzz") is None


def test_telling_changes_only_what_is_told(tmp_path: Path) -> None:
    run = make(tmp_path, "1-aaaa", label="mine")
    run.tell(status="stopped")
    assert run.facts["label"] == "mine" and run.facts["status"] == "stopped" and not run.is_finished
