"""Runs on disk: the newest, the full ones, those that nobody works on."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lab.core.run import lock
from lab.core.run.files import write_json
from lab.core.run.folder import Run, newest, runs
from lab.core.run.opening import TIME, _later_than_all


def make(results: Path, name: str, **facts: object) -> Run:
    folder = results / "known" / name
    (folder / "trials").mkdir(parents=True)
    usual = {"experiment": "known", "version": 1, "started": "2026-01-01T00:00:00Z", "seconds": 1.0}
    usual |= {"status": "finished", "full": True, "preset": None, "label": "", "device": "cpu", "threads": 1}
    write_json(folder / "run.json", usual | facts)
    return Run(folder)


def test_a_run_is_running_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    run = make(tmp_path, "1-aaaa", status="running")
    assert run.facts["status"] == "interrupted"
    descriptor = lock.acquire(run.lock)
    assert descriptor is not None and run.facts["status"] == "running"
    os.close(descriptor)
    assert run.facts["status"] == "interrupted"


def test_a_clock_that_was_set_back_makes_no_older_run_the_newest(tmp_path: Path) -> None:
    before = time.strftime(TIME, time.gmtime())
    assert before <= _later_than_all(tmp_path) <= time.strftime(TIME, time.gmtime())
    make(tmp_path, "20990131T235959Z-aaaa")
    make(tmp_path, "no-run-at-all")
    assert _later_than_all(tmp_path / "known") == "20990201T000000Z"


def test_the_newest_that_is_asked_for(tmp_path: Path) -> None:
    make(tmp_path, "20260101T000000Z-aaaa")
    make(tmp_path, "20260102T000000Z-bbbb", status="interrupted")
    make(tmp_path, "20260103T000000Z-cccc", full=False)
    (tmp_path / "known" / "20260104T000000Z-dddd").mkdir()  # killed before it wrote anything
    assert [run.id for run in runs(tmp_path)] == ["cccc", "bbbb", "aaaa"]

    def newest_id(**conditions: bool) -> str | None:
        run = newest(tmp_path, "known", **conditions)
        return run.id if run else None

    assert newest_id() == "cccc" and newest_id(full=True) == "bbbb"
    assert newest_id(full=True, finished=True) == "aaaa" and newest_id(finished=False) == "bbbb"
    assert newest(tmp_path, "other") is None


def test_an_update_changes_only_the_facts_that_it_names(tmp_path: Path) -> None:
    run = make(tmp_path, "1-aaaa", label="mine")
    run.update(status="stopped")
    assert run.facts["label"] == "mine" and run.facts["status"] == "stopped" and not run.is_finished
