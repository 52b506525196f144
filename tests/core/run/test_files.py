"""Files of a run: whole or not there, torn lines passed over, infinities as words."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from lab.core.atomic import write
from lab.core.run.files import Damaged, append_line, read_json, read_lines, to_json, write_json


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write(tmp_path / "folder", "a file cannot take the place of a folder")
    with pytest.raises(OSError):
        write(tmp_path / "nowhere" / "a.json", "no such folder")
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"it": Unprintable()})
    assert (tmp_path / "a.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "folder"]


class Unprintable:
    def __str__(self) -> str:
        raise TypeError("no words for it")


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    write(tmp_path / "a", b"\x00")
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o644


def test_a_torn_line_is_passed_over_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_line(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')  # killed here
    assert list(read_lines(path)) == [{"step": 1}]
    append_line(path, {"step": 2})
    append_line(path, {"step": 3})
    assert [record["step"] for record in read_lines(path)] == [1, 2, 3]
    assert list(read_lines(tmp_path / "nowhere")) == []


def test_infinities_are_words_and_come_back_as_numbers() -> None:
    text = to_json({"a": math.nan, "b": [math.inf, -math.inf], "c": 1.5})
    assert json.loads(text) == {"a": "nan", "b": ["inf", "-inf"], "c": 1.5}
    assert float(json.loads(text)["b"][1]) == -math.inf


def test_scalars_of_torch_are_plain_numbers() -> None:
    import torch

    assert json.loads(to_json({"x": torch.tensor(2.0), "y": torch.tensor(math.nan)})) == {
        "x": 2.0,
        "y": "nan",
    }


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": ', b"\xff\xfe", b"null"])
def test_what_is_damaged_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(Damaged) as caught:
        read_json(path)
    assert caught.value.filename == str(path)
