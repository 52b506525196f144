"""Writing that is whole or not there: every file of a run is replaced atomically or appended line by line."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..atomic import replacing


class Damaged(OSError):
    """A file of a run that does not hold what was written into it."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EIO, "is damaged", str(path))


def write(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`: a reader sees the old file or the new one, never a part."""
    data = content.encode(errors="replace") if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path, data: Any) -> None:
    write(path, to_json(data, indent=1) + "\n")


def to_json(data: Any, indent: int | None = None) -> str:
    """JSON that every reader understands: infinities and NaN become the words "inf", "-inf" and "nan"."""
    return json.dumps(_worded(data), indent=indent, ensure_ascii=False, allow_nan=False, default=str)


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
    """The mapping in a file.

    Raises:
        Damaged: there is something else in it.
    """
    try:
        data = json.loads(path.read_bytes())
    except ValueError:  # no JSON, or not even UTF-8
        data = None
    if not isinstance(data, dict):
        raise Damaged(path)
    return data


def append_line(path: Path, data: Mapping[str, Any]) -> None:
    """Add a record; behind a line torn by a crash it begins a new one, so that only the torn one is lost."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        torn = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * torn + to_json(data).encode(errors="replace") + b"\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that is appended to; a line torn by a crash is skipped."""
    if not path.exists():
        return
    # Not splitlines: it also breaks at U+2028 and its like, which JSON leaves as they are inside of a text.
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            yield record
