"""Work on all cores: each piece once, and an error is raised here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lab.core.report import forks


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.parametrize("pieces", [0, 1, 2, 7])
def test_each_piece_is_worked_on_once_by_as_many_processes_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    monkeypatch.setattr(forks, "usable_cores", lambda: 3)

    def work(piece: int) -> None:
        with (tmp_path / str(piece)).open("x") as file:
            file.write(str(os.getpid()))

    forks.side_by_side(work, range(pieces))
    assert {int(path.name) for path in tmp_path.iterdir()} == set(range(pieces))
    by = {int(path.read_text()) for path in tmp_path.iterdir()}
    assert len(by) == min(3, pieces) and (not pieces or os.getpid() in by)


def test_an_error_in_another_process_is_raised_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "usable_cores", lambda: 2)

    def work(piece: int) -> None:
        if piece == 1:
            raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        forks.side_by_side(work, range(4))
