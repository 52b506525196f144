"""What a trial is given: checkpoints, a shared cache, records."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
from pathlib import Path

import pytest

from lab.core.run.context import CHECKPOINT, NotFinite, TrialContext
from lab.core.run.files import read_lines


def context(folder: Path) -> TrialContext:
    return TrialContext("a", 0, "cpu", 1, folder, folder)


def test_a_checkpoint_comes_back_and_a_failed_one_leaves_the_last(tmp_path: Path) -> None:
    import torch

    one = context(tmp_path)
    assert one.restore() is None
    one.save({"step": 1, "w": torch.ones(2)})
    for refused in ((each for each in ()), Path("x"), torch.nn.Linear(1, 1)):
        with pytest.raises(TypeError, match=r"the state\['w'\]\[0\] is a"):
            one.save({"step": 2, "w": [refused]})
    kept = context(tmp_path).restore()
    assert kept["step"] == 1 and torch.equal(kept["w"], torch.ones(2))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == [CHECKPOINT]


def test_a_checkpoint_holds_what_trainers_keep(tmp_path: Path) -> None:
    import numpy as np
    import torch

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    state |= {"draws": np.random.default_rng(0).bit_generator.state, "means": {"a": (np.float64(0.5), 2)}}
    state |= {"left": None, "seen": {1, 2}, "infinite": math.inf, "flag": np.bool_(True), 3: "three"}
    context(tmp_path).save(state)
    kept = context(tmp_path).restore()
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    assert torch.equal(kept["random"], torch.get_rng_state())
    assert all(
        kept[name] == state[name] for name in ("draws", "means", "left", "seen", "infinite", "flag", 3)
    )


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch sprung",)


def test_what_lies_in_results_is_read_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    path = tmp_path / "checkpoint" / CHECKPOINT
    for content in ("pickle", "torch", b"", b"PK\x03\x04 torn", None):
        one = context(tmp_path)
        if content == "pickle":
            path.write_bytes(pickle.dumps(Evil()))
        elif content == "torch":
            torch.save({"step": Evil()}, path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:  # cut off
            one.save({"w": torch.ones(1000)})
            path.write_bytes(path.read_bytes()[:-1000])
        assert one.restore() is None and not (tmp_path / "sprung").exists()
        assert "so it began anew" in one.notes[0]
        assert context(tmp_path).restore() is None, "from then on there is none"


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


def get(folder: str) -> None:
    made = context(Path(folder)).cached("one key", make)
    assert (made / "content").read_text() == "whole"


def test_two_processes_at_once_make_a_thing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    both = [multiprocessing.get_context("fork").Process(target=get, args=(str(tmp_path),)) for _ in range(2)]
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


@pytest.mark.parametrize("harm", ["cut off", "changed", "gone", "added", "unproven"])
def test_what_is_not_as_it_was_made_is_made_anew(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))

    def make(folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "model").write_bytes(b"weights" * 100)

    first = context(tmp_path).cached("key", make)
    again = context(tmp_path)
    assert again.cached("key", make) == first and not again.notes
    model = first / "deep" / "model"
    with model.open("rb") as still_open:
        match harm:
            case "cut off":
                model.write_bytes(b"weights" * 50)
            case "changed":
                model.write_bytes(b"Weights" * 100)
            case "gone":
                model.unlink()
            case "added":
                (first / "more").touch()
            case "unproven":  # by a version that kept no digest, or before a crash
                first.with_suffix(".digest").unlink()
        late = context(tmp_path)
        assert late.cached("key", make) == first and "made anew" in late.notes[0]
        assert still_open.readable()
    assert model.read_bytes() == b"weights" * 100 and not (first / "more").exists()
    assert sorted(path.name for path in first.parent.iterdir()) == sorted([first.name, f"{first.name}.digest", f"{first.name}.lock"])  # fmt: skip
