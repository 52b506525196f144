"""What a trial is given: checkpoints, a shared cache, records."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest

from lab.core.run.context import NotFinite, TrialContext
from lab.core.run.files import read_lines


def context(folder: Path) -> TrialContext:
    return TrialContext("a", 0, "cpu", 1, folder, folder)


def test_a_checkpoint_comes_back_and_a_failed_one_leaves_the_last(tmp_path: Path) -> None:
    import torch

    one = context(tmp_path)
    assert one.restore() is None
    one.save({"step": 1, "w": torch.ones(2)})
    with pytest.raises((TypeError, AttributeError)):
        one.save({"step": 2, "w": (each for each in ())})  # a generator cannot be pickled
    kept = context(tmp_path).restore()
    assert kept["step"] == 1 and torch.equal(kept["w"], torch.ones(2))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["state.pickle"]


def test_nan_ends_a_trial_and_stands_in_its_records(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record(step=1, loss=math.inf)  # overflow is a finding, no failure
    with pytest.raises(NotFinite, match="loss is NaN at step 2"):
        one.record(step=2, loss=math.nan)
    records = list(read_lines(tmp_path / "records.jsonl"))
    assert [record["loss"] for record in records] == ["inf", "nan"]


def make(folder: Path) -> None:
    """Slow enough for a second process to come in between, and it leaves a trace of each making."""
    import time

    with (folder.parents[1] / "makings").open("a") as file:
        file.write("made\n")
    time.sleep(0.3)
    (folder / "content").write_text("whole")


def ask(folder: str) -> None:
    made = context(Path(folder)).cached("one key", make)
    assert (made / "content").read_text() == "whole"


def test_two_processes_at_once_make_a_thing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    both = [multiprocessing.get_context("fork").Process(target=ask, args=(str(tmp_path),)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert [one.exitcode for one in both] == [0, 0]
    assert (tmp_path / "cache" / "makings").read_text() == "made\n"


def test_what_fails_to_be_made_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))

    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError):
        context(tmp_path).cached("key", fail)
    assert not list((tmp_path / "cache").rglob("half"))
    made = context(tmp_path).cached("key", lambda folder: (folder / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
