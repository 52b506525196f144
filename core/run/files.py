"""JSON files of a run: replaced whole or appended line by line, and read with care."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..atomic import write

MOST_BYTES = 1 << 30  # of a file that is read
LONGEST_LINE = 1 << 24
DEEPEST = 40  # lists and mappings inside one another


class Damaged(OSError):
    """A file of a run that does not hold what was written into it."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EIO, "is damaged", str(path))


def write_json(path: Path, data: Any) -> None:
    write(path, to_json(data, indent=1) + "\n")


def to_json(data: Any, indent: int | None = None, ascii: bool = False) -> str:
    """JSON that every reader understands: infinities and NaN become the words "inf", "-inf" and "nan"."""
    return json.dumps(_worded(data), indent=indent, ensure_ascii=ascii, allow_nan=False, default=str)


def _worded(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, Mapping):
        return {str(key): _worded(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_worded(value) for value in data]
    if hasattr(data, "item") and not isinstance(data, str):  # numpy's and torch's scalars
        return _worded(data.item())
    return data


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises Damaged: there is something else in it, or too much."""
    _look_at(path)
    data = _mapping(path.read_bytes())
    if data is None:
        raise Damaged(path)
    return data


def _look_at(path: Path) -> None:
    """Before anything is read: a pipe would wait for ever, and a giant would fill the memory."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
        raise Damaged(path)


def _mapping(text: bytes) -> dict[str, Any] | None:
    """None: no JSON, no UTF-8, a number of 5,000 digits, nested too deeply, or no mapping."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and _is_shallow(data) else None


def _is_shallow(data: object) -> bool:
    inner = [data]
    for _ in range(DEEPEST):
        inner = [
            value
            for outer in inner
            if isinstance(outer, dict | list)
            for value in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(value, dict | list)
        ]
        if not inner:
            return True
    return False


def append_line(path: Path, data: Mapping[str, Any]) -> None:
    """Add a record; behind a line torn by a crash it begins a new one, so that only the torn one is lost."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        torn = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * torn + to_json(data).encode(errors="backslashreplace") + b"\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that is appended to; a line that was torn by a crash, or that is no record, is skipped.

    Raises Damaged: the file is no file, or too large.
    """
    if not path.exists():
        return
    _look_at(path)
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            record = _mapping(line)
            if record is not None:
                yield record
