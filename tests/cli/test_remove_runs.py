"""`lab runs`: listing, and removing, which asks, and touches no run that is being written and nothing else."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli.app import app
from lab.core.run.folder import Run
from lab.core.run.opening import hold, release
from lab.core.run.removal import is_partial, remove

LAB = Path(sys.executable).parent / "lab"


@pytest.fixture
def results(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of `known` from three years: aaaa finished, bbbb interrupted, cccc damaged; and one of `learning`."""
    shutil.copytree(stored, tmp_path / "results")
    (first,) = (tmp_path / "results" / "known").iterdir()
    for year, letters in ((2021, "aaaa"), (2022, "bbbb"), (2023, "cccc")):
        folder = first.with_name(f"{year}0101T000000Z-{letters}")
        shutil.copytree(first, folder)
        Run(folder).update(id=letters, status="interrupted" if letters == "bbbb" else "finished")
    (folder / "run.json").write_text("{")
    shutil.rmtree(first)
    (other,) = (tmp_path / "results" / "learning").iterdir()
    other.rename(other.with_name("20240101T000000Z-dddd"))
    Run(other.with_name("20240101T000000Z-dddd")).update(id="dddd")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def lab(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["runs", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def left(results: Path) -> list[str]:
    return sorted(path.name[-4:] for path in results.glob("*/*-*"))


def test_runs_are_listed_all_or_of_one_experiment(results: Path) -> None:
    assert [run["id"] for run in json.loads(lab("--json")[1])] == ["dddd", "bbbb", "aaaa"]
    assert [run["id"] for run in json.loads(lab("known", "--json")[1])] == ["bbbb", "aaaa"]
    assert "cccc is passed over: run.json is damaged" in lab("known")[2]
    code, _, said = lab("knwn")
    assert code == 2 and 'no run of "knwn"' in said and "Did you mean known?" in said
    assert "to make one: lab run softmax" in lab("softmax")[2]


def test_of_many_runs_the_newest_are_shown(results: Path) -> None:
    (one,) = (results / "learning").iterdir()
    for minute in range(60):
        shutil.copytree(one, one.with_name(f"20250101T00{minute:02}00Z-many"))
    code, out, said = lab("learning")
    assert code == 0 and out.count("many") == 50 and "dddd" not in out
    assert "11 older: lab runs learning --all" in said
    code, out, said = lab("learning", "--all")
    assert out.count("many") == 60 and "dddd" in out and not said
    assert len(json.loads(lab("learning", "--json")[1])) == 61


@pytest.mark.parametrize(
    "chosen, gone",
    [
        (["aaaa"], ["aaaa"]),
        (["aaaa", "cccc"], ["aaaa", "cccc"]),  # one that cannot be read as well
        (["20210101T000000Z-aaaa"], ["aaaa"]),
        (["--partial"], ["bbbb"]),  # the damaged one may have finished
        (["--older-than", "1s"], ["aaaa", "bbbb", "cccc", "dddd"]),
        (["--partial", "--older-than", "9000d"], []),
    ],
)
def test_what_is_named_is_removed_and_nothing_else(results: Path, chosen: list[str], gone: list[str]) -> None:
    before = left(results)
    code, out, _ = lab("rm", *chosen, "--yes", "--json")
    data = json.loads(out)
    assert code == 0 and sorted(data["removed"]) == gone and not data["kept"]
    assert left(results) == sorted(set(before) - set(gone))
    assert (results / "learning").exists() is ("dddd" not in gone)  # no empty folders


@pytest.mark.parametrize(
    "wrong, said",
    [
        ([], "which runs?"),
        (["aaaa", "--partial"], "which runs?"),
        (["aaab"], "Did you mean aaaa?"),
        (["aaaa", "zzzz"], "no run zzzz"),
        (["--older-than", "3 weeks"], "30d"),
        (["--older-than", "0d"], "30d"),
        (["../known"], "no run ../known"),
    ],
)
def test_wrong_use_removes_nothing(results: Path, wrong: list[str], said: str) -> None:
    before = left(results)
    code, _, why = lab("rm", *wrong, "--yes")
    assert code == 2 and said in why and left(results) == before


def test_without_a_terminal_it_refuses_and_on_one_it_asks(results: Path) -> None:
    before = left(results)
    code, _, said = lab("rm", "aaaa")
    assert code == 2 and "--yes" in said and "aaaa" in said and left(results) == before
    for answer, expected in (("n", before), ("", before), ("y", [name for name in before if name != "aaaa"])):
        ours, theirs = pty.openpty()
        started = subprocess.Popen([LAB, "runs", "rm", "aaaa"], stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown = b""
        while True:  # until the other end is closed
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        os.close(ours)
        assert started.wait(60) == 0 and b"remove this run? [y/N]" in shown
        assert left(results) == expected


def test_a_run_that_is_being_written_is_kept(results: Path) -> None:
    run = Run(results / "known" / "20220101T000000Z-bbbb")
    assert hold(run)
    try:
        code, out, said = lab("rm", "aaaa", "bbbb", "--yes", "--json")
        assert code == 1 and json.loads(out)["removed"] == ["aaaa"]
        assert f"bbbb of known is kept: it is being written (process {os.getpid()})" in said
        assert json.loads(lab("rm", "--partial", "--yes", "--json")[1])["removed"] == []
    finally:
        release(run)
    assert left(results) == ["bbbb", "cccc", "dddd"]


def test_links_lead_nowhere(results: Path, tmp_path: Path) -> None:
    """A run that is a link, an experiment's folder that is one, and a link inside of a run."""
    mine = tmp_path / "mine"
    shutil.copytree(results / "known", mine)
    (results / "known" / "20200101T000000Z-eeee").symlink_to(mine / "20210101T000000Z-aaaa")
    (results / "linked").symlink_to(mine)
    (results / "known" / "20210101T000000Z-aaaa" / "out").symlink_to(mine)
    before = {path: path.stat().st_size for path in mine.rglob("*")}
    code, out, _ = lab("rm", "--older-than", "1s", "--yes", "--json")
    assert code == 1 and set(json.loads(out)["kept"].values()) == {"it is a link to somewhere else"}
    assert {path: path.stat().st_size for path in mine.rglob("*")} == before
    assert not (results / "known" / "20210101T000000Z-aaaa").exists()


def test_what_an_interrupted_removal_leaves_is_no_run_and_can_be_removed(results: Path) -> None:
    (results / "known" / "20210101T000000Z-aaaa" / "run.json").unlink()
    assert [run["id"] for run in json.loads(lab("known", "--json")[1])] == ["bbbb"]
    assert "aaaa" in json.loads(lab("rm", "--partial", "--yes", "--json")[1])["removed"]


def test_partial_spares_what_cannot_be_read_what_finished_meanwhile_and_a_wrong_clock(results: Path) -> None:
    """A damaged run may be a finished one; one that finished behind the question is finished; and a folder dated in the
    future, or with no time in its name, ends nothing."""
    (results / "known" / "99999999T999999Z-eeee").mkdir()
    future = results / "known" / "20990101T000000Z-ffff"
    shutil.copytree(results / "known" / "20220101T000000Z-bbbb", future)
    Run(future).update(id="ffff", status="interrupted")
    chosen = Run(results / "known" / "20220101T000000Z-bbbb")
    assert is_partial(chosen)
    chosen.update(status="finished")
    assert remove(chosen, results, only_partial=True) == "it has finished since" and chosen.folder.is_dir()
    chosen.update(status="interrupted")
    code, out, _ = lab("rm", "--partial", "--yes", "--json")
    assert code == 0 and sorted(json.loads(out)["removed"]) == ["bbbb", "ffff"]
    assert left(results) == ["aaaa", "cccc", "dddd", "eeee"]
